"""The director's end of workers' lines, in memory or on a socket: it says what a test wants and hears everything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar, cast

from director.line import Ear
from director.wire import FromWorker, ToWorker, Unframer, frames, from_worker

M = TypeVar("M")


class Joined:
    """A line in memory; what is said arrives in the next turn of the loop, as on a socket."""

    def __init__(self, end: FarEnd, ear: Ear) -> None:
        self._end = end
        self._ear = ear
        self._unframer = Unframer()
        self._soon = asyncio.get_running_loop().call_soon
        self.open = True

    def send(self, data: bytes) -> None:
        """What the worker says."""
        assert self.open
        self._end.pieces.append(data)
        self._soon(self._arrive, data)

    def close(self) -> None:
        """The worker hangs up."""
        self.hang_up()

    def say(self, data: bytes) -> None:
        """What the director says."""
        self._soon(self._ear.heard, data)

    def hang_up(self) -> None:
        """The end of the line."""
        if self.open:
            self.open = False
            self._soon(self._ear.lost)

    def _arrive(self, data: bytes) -> None:
        if self.open:
            for body in self._unframer.feed(data):
                for message in from_worker(body):
                    self._end.take(message)


class FarEnd:
    """`heard` is all that workers have said, `pieces` the same as it was written, `calls` how often one has dialled.

    While `away` is set nobody can dial. What is said goes to whoever has dialled last.
    """

    def __init__(self) -> None:
        self.heard: list[FromWorker] = []
        self.pieces: list[bytes] = []
        self.calls = 0
        self.away = False
        self.line: Joined | None = None

    async def dial(self, path: str, ear: Ear) -> Joined:
        """`director.line.dial`, to here."""
        self.calls += 1
        if self.away:
            raise ConnectionRefusedError(111, "Connection refused")
        self.line = Joined(self, ear)
        return self.line

    async def listen(self, path: Path) -> asyncio.Server:
        """Answer on a socket as well."""
        return await asyncio.get_running_loop().create_unix_server(lambda: _Socket(self), path)

    def take(self, message: FromWorker) -> None:
        """A worker has said this."""
        self.heard.append(message)

    def say(self, *messages: ToWorker) -> None:
        """Say this to the worker."""
        self.say_bytes(frames(messages))

    def say_bytes(self, data: bytes) -> None:
        """Say whatever this is."""
        assert self.line is not None
        self.line.say(data)

    def hang_up(self) -> None:
        """End the line."""
        assert self.line is not None
        self.line.hang_up()

    def all(self, kind: type[M]) -> list[M]:
        """What was heard of this kind."""
        return [message for message in self.heard if isinstance(message, kind)]


class _Socket(asyncio.Protocol, Ear):
    """A worker that has dialled a real socket."""

    def __init__(self, end: FarEnd) -> None:
        self._end = end
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._line = self._end.line = Joined(self._end, self)

    def data_received(self, data: bytes) -> None:
        self._line.send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.open = False

    def heard(self, data: bytes) -> None:
        """What the director says."""
        self._transport.write(data)

    def lost(self) -> None:
        """The director hangs up."""
        self._transport.close()
