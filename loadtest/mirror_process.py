"""The mirror in a process of its own, as in production, that tells what it took to come into step."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ldapmap import DirectorySettings
from ldapmap.mirror.mirror import Mirror
from ldapmap.mirror.status import MirrorStatus

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

LOOK = 0.002
"""Seconds between two looks at the mirror's state, so that is how exact the figures are."""

PATIENCE = 600.0
"""Seconds it has to come into step."""

STOP = 30.0
"""Seconds it has to end."""


class MirrorFailed(Exception):
    """It ended, or did not come into step; the text says how far it was."""


class InStep(NamedTuple):
    """From its start until it followed a server: seconds on the clock and of its processor time, and its state then."""

    wall: float
    cpu: float
    status: MirrorStatus


class MirrorProcess:
    """A mirror with these settings in `path`, alive inside `with`. `loop` makes its event loop."""

    def __init__(
        self, settings: DirectorySettings, context: ssl.SSLContext | None, path: Path, loop: LoopFactory
    ) -> None:
        self._told, telling = multiprocessing.Pipe(duplex=False)
        self._telling = telling
        forked = multiprocessing.get_context("fork")  # as the supervisor makes it
        self._process = forked.Process(target=_live, args=(settings, context, path, loop, telling))

    def __enter__(self) -> MirrorProcess:
        self._process.start()
        self._telling.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join(STOP)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._told.close()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process.pid is not None  # noqa: S101 (a mistake in our own code)
        return self._process.pid

    def in_step(self) -> InStep:
        """Wait until it follows a server; to be called once. Raises MirrorFailed."""
        try:
            told = self._told.recv() if self._told.poll(PATIENCE) else "it did not come into step in time"
        except EOFError:
            told = "it ended"
        if not isinstance(told, InStep):
            raise MirrorFailed(f"the mirror: {told}")
        return told


def _live(
    settings: DirectorySettings, context: ssl.SSLContext | None, path: Path, loop: LoopFactory, telling: Connection
) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    with asyncio.Runner(loop_factory=loop) as runner, suppress(asyncio.CancelledError):
        runner.run(_follow(settings, context, path, telling))
    os._exit(0)


async def _follow(settings: DirectorySettings, context: ssl.SSLContext | None, path: Path, telling: Connection) -> None:
    mirror = Mirror(settings, context, path)
    wall, cpu = time.perf_counter(), time.process_time()
    following = asyncio.create_task(mirror.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    while not following.done() and mirror.status().state != "following":
        await asyncio.wait([following], timeout=LOOK)
    if not following.done():
        telling.send(InStep(time.perf_counter() - wall, time.process_time() - cpu, mirror.status()))
    await following
