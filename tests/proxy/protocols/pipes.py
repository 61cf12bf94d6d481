"""Two dialogues that talk to each other, without an event loop: a pipe has two ends, each of them a wire."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream, TlsFailure

A = TypeVar("A")
B = TypeVar("B")


@coroutine
def _pause() -> Generator[None, None, None]:
    yield


class PipeEnd:
    """One end; what is sent here arrives at `other`. `hide` is cut out of what is sent."""

    def __init__(self, *, secure: bool, certificate_user: str = "", hide: tuple[bytes, ...] = ()) -> None:
        self.secure = secure
        self.certificate_user = certificate_user
        self.other: PipeEnd = self
        self.sent: list[bytes] = []
        self.closed = False
        self._handshaking = False
        self._hide = hide
        self._inbox = Inbox()

    async def line(self, limit: int) -> bytes:
        while (line := self._inbox.take_line(limit)) is None:
            await self._receive()
        return line

    async def exactly(self, count: int) -> bytes:
        while (data := self._inbox.take(count)) is None:
            await self._receive()
        return data

    async def send(self, data: bytes) -> None:
        for word in self._hide:
            data = data.replace(word, b"")
        self.sent.append(data)
        self.other._inbox.feed(data)

    async def start_tls(self) -> None:
        if len(self._inbox):
            raise TlsFailure("bytes of the clear phase are unread")
        self._handshaking = True
        while not self.other._handshaking:
            await _pause()
        self.secure = True

    async def _receive(self) -> None:
        if self.other.closed:
            raise EndOfStream
        await _pause()


Dialogue = Callable[[PipeEnd], Coroutine[Any, Any, A]]


def converse(one: Dialogue[A], at_one: PipeEnd, other: Dialogue[B], at_other: PipeEnd) -> tuple[A, B]:
    """What both return; an exception of either ends the conversation."""
    at_one.other, at_other.other = at_other, at_one
    results: dict[PipeEnd, Any] = {}
    running: dict[PipeEnd, Coroutine[Any, Any, Any]] = {at_one: one(at_one), at_other: other(at_other)}
    for _ in range(1000):
        for end, dialogue in list(running.items()):
            try:
                dialogue.send(None)
            except StopIteration as stop:
                results[end] = stop.value
                end.closed = True
                del running[end]
        if not running:
            return results[at_one], results[at_other]
    raise AssertionError("both wait for each other")
