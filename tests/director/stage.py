"""A service on its own socket with a core that does as it is told, and the far end of a worker's connection."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from director.actions import Action
from director.core import Core
from director.service import Service
from director.settings import DirectorSettings
from director.shards import Backend, Shards
from director.stores.memory import MemoryStore
from director.wire import VERSION, FromWorker, Hello, ToWorker, Unframer, frames, to_worker
from tests.director.examples import shard_settings

PATIENCE = 10.0
LIFE = "front1/0123abcd"
SHARDS = Shards([shard_settings("s1", mb1a=1, mb1b=2), shard_settings("s2", mb2a=1)])
SETTINGS = DirectorSettings(heartbeat=0.05)


class Scripted:
    """A core: `events` is what it was told, without times and without what goes on all the time; an event's name in
    `reactions` has what is done then."""

    def __init__(self, **reactions: Callable[..., Sequence[Action]]) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.beats: list[tuple[Any, ...]] = []
        self.reactions = reactions

    def __getattr__(self, name: str) -> Callable[..., Sequence[Action]]:
        def event(*facts: Any) -> Sequence[Action]:
            times = name in ("tick", "beat", "beat_failed")
            (self.beats if times else self.events).append((name, *facts[:-1]))
            reaction = self.reactions.get(name)
            return () if reaction is None else reaction(*facts[:-1])

        return event


class Caller:
    """A worker's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unframer = Unframer()

    def say(self, *messages: FromWorker) -> None:
        """In one frame."""
        self._writer.write(frames(messages))

    def write(self, data: bytes) -> None:
        """Anything."""
        self._writer.write(data)

    async def frame(self) -> list[ToWorker]:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            while True:
                data = await self._reader.read(1_000_000)
                assert data, "the connection was closed"
                for body in self._unframer.feed(data):
                    return to_worker(body)

    async def ended(self) -> bool:
        """Whether the connection is closed without another word, as soon as it is closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reader.read(1_000_000) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._writer.close()


class Running:
    """A service that runs."""

    def __init__(self, service: Service, core: Any, path: Path) -> None:
        self.service = service
        self.core = core
        self.path = path
        self._callers: list[Caller] = []

    async def connect(self) -> Caller:
        """A connection that says nothing yet."""
        caller = Caller(*await asyncio.open_unix_connection(self.path, limit=2**24))
        self._callers.append(caller)
        return caller

    async def worker(self, name: str = "0/1/a", slot: int = 0) -> Caller:
        """A worker that has joined."""
        caller = await self.connect()
        caller.say(Hello(VERSION, name, slot))
        await until(lambda: name in self.service.workers)
        return caller

    def close(self) -> None:
        for caller in self._callers:
            caller.close()

    async def told(self, *events: tuple[Any, ...]) -> None:
        """Wait until the core has been told these last."""
        await until(lambda: self.core.events[-len(events) :] == list(events), lambda: self.core.events)


async def well(_backend: Backend) -> str:
    """A probe that is content."""
    return ""


@asynccontextmanager
async def running(core: Any = None, store: Any = None, **options: Any) -> AsyncIterator[Running]:
    """A service that listens, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="vest-"))
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(folder / "director.sock"))
        listening.listen()
        core = Scripted() if core is None else core
        chosen: dict[str, Any] = {"life": LIFE, "settings": SETTINGS, "shards": SHARDS, "probe": well, **options}
        service = Service(cast(Core, core), store or MemoryStore(time.monotonic), time.monotonic, **chosen)
        async with asyncio.timeout(3 * PATIENCE), service:
            await service.accept(listening)
            stage = Running(service, core, folder / "director.sock")
            try:
                yield stage
            finally:
                stage.close()
    finally:
        listening.close()
        shutil.rmtree(folder)


async def until(condition: Callable[[], object], seen: Callable[[], object] = lambda: "") -> None:
    """Let others have their turn until something is so."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"it does not come to that: {seen()}") from None
