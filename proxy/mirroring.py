"""The mirror's process: keeps the copy of the directory in step, and what is remembered of passwords."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import uvloop

from ldapmap import MemoryKeeper, Mirror
from proxy import privileges
from proxy.estate import Estate
from proxy.meters import MirrorMeters
from proxy.naming import name_process
from proxy.outgoing import directory_context
from proxy.settings import NodeSettings

#: Seconds between two looks at the mirror for the metrics, and at whether the supervisor still lives.
_SWEEP = 0.5

#: Objects made between two collections: a first load makes millions, none of them in a cycle.
_GARBAGE = 100_000

_logger = logging.getLogger("vestibule.mirror")


def make_folder(path: Path, node: NodeSettings) -> None:
    """The directory of the mirror's files, for the unprivileged user alone; raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    ids = privileges.unprivileged(node)
    if ids is not None:
        os.chown(path, *ids)


def run_mirror(estate: Estate) -> NoReturn:
    """The whole life of the mirror's process, from the fork on; never returns."""
    status = 1
    try:
        name_process("vestibule-mir")
        estate.close_listening()
        estate.counters.mirror.start()
        keeper = None if estate.memory is None else estate.memory.keeper()
        mirror = _open(estate, keeper)
        privileges.drop(estate.settings.node)
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_follow(estate, mirror, keeper))
        status = 0
    except Exception:
        _logger.exception("the mirror's process ended by an error")
    finally:
        os._exit(status)


def _open(estate: Estate, keeper: MemoryKeeper | None) -> Mirror:
    settings = estate.settings
    path = settings.mirror_path
    if path is None:
        raise ValueError("no mirror is configured")
    context = directory_context(settings.directory)
    if keeper is None:
        return Mirror(settings.directory, context, path)
    return Mirror(settings.directory, context, path, forget=keeper.forget, forget_all=keeper.forget_all)


async def _follow(estate: Estate, mirror: Mirror, keeper: MemoryKeeper | None) -> None:
    """Until SIGTERM, or until the supervisor is gone."""
    loop, parent = asyncio.get_running_loop(), os.getppid()
    following = loop.create_task(mirror.run(), name="mirror")
    loop.add_signal_handler(signal.SIGTERM, following.cancel)
    meters = MirrorMeters(estate.counters.mirror)
    if keeper is not None:
        keeper.start()
    try:
        while not following.done() and os.getppid() == parent:
            meters.show(mirror.status())
            await asyncio.wait([following], timeout=_SWEEP)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        if keeper is not None:
            keeper.close()
