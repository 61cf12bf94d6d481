"""A dialogue's wire over an asyncio transport, small enough for tens of thousands of sessions in a process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure, Wire

BUFFER = 128 * 1024
"""Most bytes that are buffered of what a peer sent, unless it is asked for more at once."""

UNSENT = 256 * 1024
"""Bytes a peer may leave unread before a sender waits for it."""

PATIENCE = 1800.0
"""Seconds a peer may be silent, the least RFC 3501 section 5.4 allows for a server."""

_RESET = struct.pack("ii", 1, 0)


class TellingWire(Wire, Protocol):
    """A wire on which a server can speak while it waits for its client."""

    @property
    def behind(self) -> bool:
        """Whether the peer leaves so much unread that nothing more should be said, or is gone."""

    def tell(self, data: bytes) -> None:
        """Send without waiting."""


class StreamWire(asyncio.Protocol):
    """One connection; see `proxy.protocols.wire.Wire` and `TellingWire`.

    `begin` is called with the wire when the connection stands. `context` is the server's for STARTTLS.
    """

    __slots__ = ("_begin", "_context", "_drained", "_eof", "_inbox", "_lost", "_more", "_paused", "_transport")

    def __init__(
        self, begin: Callable[[StreamWire], object] | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self._begin = begin
        self._context = context
        self._inbox = Inbox()
        self._eof = False
        self._lost = False
        self._paused = False
        self._more: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # --- a dialogue's side ---

    @property
    def secure(self) -> bool:
        """Whether TLS is on."""
        return self._transport.get_extra_info("ssl_object") is not None

    @property
    def certificate_user(self) -> str:
        """Simulated servers ask for no client certificates."""
        return ""

    async def line(self, limit: int) -> bytes:
        while (line := self._inbox.take_line(limit)) is None:
            await self._wait_for_more()
        return line

    async def exactly(self, count: int) -> bytes:
        while (data := self._inbox.take(count)) is None:
            await self._wait_for_more()
        return data

    async def send(self, data: bytes) -> None:
        if self._lost:
            raise EndOfStream
        self._transport.write(data)
        if self._drained is not None:
            await self._wait(self._drained)
            if self._lost:
                raise EndOfStream

    @property
    def behind(self) -> bool:
        return self._lost or self._drained is not None

    def tell(self, data: bytes) -> None:
        self._transport.write(data)

    async def start_tls(self) -> None:
        if self._context is None:
            raise TlsFailure("no certificate")
        if len(self._inbox):
            raise TlsFailure("bytes of the clear phase are unread")
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(self._transport, self, self._context, server_side=True)
        except OSError as error:
            raise TlsFailure(str(error)) from None
        if secured is None:
            raise TlsFailure("the peer has closed")
        self._take(secured)

    def close(self) -> None:
        """What has been sent is delivered, then the connection ends."""
        self._transport.close()

    def reset(self) -> None:
        """End the connection as a crash would, with a reset; what is unsent is lost."""
        sock = self._transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._take(cast(asyncio.Transport, transport))
        if self._begin is not None:
            self._begin(self)

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)
        if self._more is not None:
            _settle(self._more)
        elif len(self._inbox) > BUFFER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end_of_input()
        return not self.secure  # what was sent before is answered yet

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._end_of_input()
        self._resume_sender()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        self._resume_sender()

    # --- waiting ---

    def _take(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(UNSENT)

    async def _wait_for_more(self) -> None:
        if self._eof:
            raise EndOfStream
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._more = asyncio.get_running_loop().create_future()
        try:
            await self._wait(self._more)
        finally:
            self._more = None

    async def _wait(self, event: asyncio.Future[None]) -> None:
        """A timer of its own, because `asyncio.timeout` costs three times as much."""
        timer = asyncio.get_running_loop().call_later(PATIENCE, _expire, event)
        try:
            await event
        finally:
            timer.cancel()

    def _end_of_input(self) -> None:
        self._eof = True
        if self._more is not None:
            _settle(self._more)

    def _resume_sender(self) -> None:
        event, self._drained = self._drained, None
        if event is not None:
            _settle(event)


def _settle(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_result(None)


def _expire(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_exception(Expired())
