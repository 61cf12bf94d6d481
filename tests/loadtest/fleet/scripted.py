"""A connection that plays one side of a written conversation, and coroutines driven without an engine."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from loadtest.fleet.connection import Connection
from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream

T = TypeVar("T")


class Scripted:
    """Says what it was given, whatever it hears; `heard_bytes` is all that was said to it."""

    def __init__(self, *said: bytes) -> None:
        self._inbox = Inbox()
        self._inbox.feed(b"".join(said))
        self.said_to_it = b""

    async def line(self, limit: int = 8192) -> bytes:
        line = self._inbox.take_line(limit)
        if line is None:
            raise EndOfStream
        return line

    async def exactly(self, count: int) -> bytes:
        data = self._inbox.take(count)
        if data is None:
            raise EndOfStream
        return data

    async def heard(self, until: float) -> bool:
        return len(self._inbox) > 0

    async def send(self, data: bytes) -> None:
        self.said_to_it += data

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waits")
