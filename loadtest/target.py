"""A backend that costs next to nothing, for measuring the proxy in front of it: IMAP's login, NOOP, and bulk both ways.

`x SEND n` is answered by n bytes and an OK, `x TAKE n` takes n bytes and answers OK; everything else is answered by OK.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

_GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] Target ready.\r\n"
_BULK = re.compile(rb"(SEND|TAKE) ([0-9]{1,12})$")
_CHUNK = bytes(65536)


class Target(asyncio.Protocol):
    """One connection of the proxy."""

    def __init__(self) -> None:
        self._unread = b""
        self._to_take = 0
        self._to_send = 0
        self._tag = b""
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        while data:
            if self._to_take:
                taken = min(self._to_take, len(data))
                self._to_take -= taken
                data = data[taken:]
                if not self._to_take:
                    self._done()
                continue
            line, end, data = (self._unread + data).partition(b"\r\n")
            self._unread = b"" if end else line
            if end:
                self._answer(line)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _answer(self, line: bytes) -> None:
        self._tag, _, command = line.partition(b" ")
        bulk = _BULK.match(command)
        if bulk is None:
            self._done()
            if command == b"LOGOUT":
                self._transport.close()
        elif bulk[1] == b"SEND":
            self._to_send = int(bulk[2])
            self._send()
        else:
            self._to_take = int(bulk[2])

    def _send(self) -> None:
        while self._to_send and not self._paused:
            count = min(self._to_send, len(_CHUNK))
            self._to_send -= count
            self._transport.write(_CHUNK[:count])
            if not self._to_send:
                self._transport.write(b"\r\n")
                self._done()

    def _done(self) -> None:
        self._transport.write(self._tag + b" OK done\r\n")
