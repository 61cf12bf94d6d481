"""The store that the configuration names."""

import time
from collections.abc import Callable
from pathlib import Path

from director.door import NearStore
from director.settings import DirectorSettings
from director.store import Store
from director.stores.kept import KeptStore


def near(store: Store) -> NearStore | None:
    """Return the store if it is in this process and answers at once."""
    return store if isinstance(store, KeptStore) else None


def open_store(settings: DirectorSettings, state_file: Path, clock: Callable[[], float] = time.monotonic) -> Store:
    """Return the store, not started yet. One in memory keeps the operator's words about backends in `state_file`.

    Who needs no network loads none.
    """
    shared = settings.shared_store
    if shared is None:
        return KeptStore(clock, state_file)
    from director.stores.redis import RedisStore

    return RedisStore(shared, clock)
