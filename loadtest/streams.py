"""A dialogue's wire over asyncio's streams: good enough for simulated servers, whose cost nobody measures."""

from __future__ import annotations

import asyncio
import ssl

from proxy.protocols.wire import BareNewline, EndOfStream, Expired, LineTooLong, TlsFailure

BUFFER = 128 * 1024
"""Most bytes that are buffered of what a peer sent."""

PATIENCE = 1800.0
"""Seconds a peer may be silent, the least RFC 3501 section 5.4 allows for a server."""


class StreamWire:
    """One connection of an asyncio server; see `proxy.protocols.wire.Wire`. A line is also bounded by `BUFFER`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext | None = None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._context = context

    @property
    def secure(self) -> bool:
        """Whether TLS is on."""
        return self._writer.get_extra_info("ssl_object") is not None

    @property
    def certificate_user(self) -> str:
        """Simulated servers ask for no client certificates."""
        return ""

    async def line(self, limit: int) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self._reader.readuntil(b"\n")
        except TimeoutError:
            raise Expired from None
        except (asyncio.IncompleteReadError, OSError):
            raise EndOfStream from None
        except asyncio.LimitOverrunError:
            raise LineTooLong from None
        if len(line) > limit + 2:
            raise LineTooLong
        if not line.endswith(b"\r\n"):
            raise BareNewline
        return line[:-2]

    async def exactly(self, count: int) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._reader.readexactly(count)
        except TimeoutError:
            raise Expired from None
        except (asyncio.IncompleteReadError, OSError):
            raise EndOfStream from None

    async def send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise EndOfStream from None

    async def start_tls(self) -> None:
        if self._context is None:
            raise TlsFailure("no certificate")
        try:
            await self._writer.start_tls(self._context)
        except OSError as error:
            raise TlsFailure(str(error)) from None
