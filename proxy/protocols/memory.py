"""A wire without a connection, for tests and tools: input is a list of chunks, output is kept."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream, TlsFailure

T = TypeVar("T")


class MemoryWire:
    """Plays `chunks` to a dialogue; each is one read of a connection. It never suspends.

    A chunk of None stands for the peer's TLS handshake: chunks behind it are not read before `start_tls`.
    """

    def __init__(self, chunks: Iterable[bytes | None], *, secure: bool = False, certificate_user: str = "") -> None:
        self._chunks = list(chunks)
        self._inbox = Inbox()
        self.secure = secure
        self.certificate_user = certificate_user
        self.sent: list[bytes] = []
        self.consumed = 0

    async def line(self, limit: int) -> bytes:
        while (line := self._inbox.take_line(limit)) is None:
            self._receive()
        return line

    async def exactly(self, count: int) -> bytes:
        while (data := self._inbox.take(count)) is None:
            self._receive()
        return data

    async def send(self, data: bytes) -> None:
        self.sent.append(data)

    async def start_tls(self) -> None:
        if len(self._inbox) or not self._chunks or self._chunks[0] is not None:
            raise TlsFailure("bytes of the clear phase are unread")
        self._next()
        self.secure = True

    def rest(self) -> bytes:
        """What the dialogue left unread of the chunks that have been delivered and of those that have not."""
        return self._inbox.drain() + b"".join(chunk or b"" for chunk in self._chunks)

    def _receive(self) -> None:
        if not self._chunks or self._chunks[0] is None:
            raise EndOfStream
        self._inbox.feed(self._next())

    def _next(self) -> bytes:
        self.consumed += 1
        return self._chunks.pop(0) or b""


def run(conversation: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends, without an event loop."""
    try:
        conversation.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    conversation.close()
    raise RuntimeError("the conversation suspended: it waited for something that is not on its wire")
