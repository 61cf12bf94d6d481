"""The interface is kept by every store there is."""

from director.store import SWAPPED, Store, Swapped
from director.stores.memory import MemoryStore
from director.stores.redis import RedisStore
from director.stores.settings import RedisSettings


def test_every_store_is_one() -> None:
    """What matters is said by the type checker."""
    stores: list[Store] = [MemoryStore(lambda: 0.0), RedisStore(RedisSettings(url="redis://127.0.0.1"))]
    assert len(stores) == 2


def test_swapped_is_nothing_that_a_store_could_hold() -> None:
    assert SWAPPED is Swapped.SWAPPED
    assert not isinstance(SWAPPED, bytes)
