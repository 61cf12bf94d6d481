"""A backend that costs next to nothing, for measuring the proxy in front of it: IMAP's login, NOOP, and bulk both ways.

`x SEND n` is answered by n bytes and an OK, `x TAKE n` takes n bytes and answers OK; IDLE waits for DONE (RFC 2177);
every other command is answered by OK, whoever asks. It understands what proxies log in with: quoted words, literals of
both kinds (RFC 7888) and SASL PLAIN with or without an initial response (RFC 4959).
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

_CAPABILITIES = b"IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN"
_GREETING = b"* OK [CAPABILITY %b] Target ready.\r\n" % _CAPABILITIES
_BULK = re.compile(rb"(SEND|TAKE) ([0-9]{1,12})$")
_LITERAL = re.compile(rb"\{([0-9]{1,6})(\+?)\}$")
_CHUNK = bytes(65536)

_ANSWERS = {b"CAPABILITY": b"* CAPABILITY %b\r\n" % _CAPABILITIES, b"ID": b"* ID NIL\r\n", b"LOGOUT": b"* BYE\r\n"}
"""What comes before the tagged OK."""


class Target(asyncio.Protocol):
    """One connection of the proxy."""

    def __init__(self) -> None:
        self._unread = b""
        self._command = b""
        self._in_command = 0
        """Bytes of a literal that are still to come."""
        self._to_take = 0
        self._to_send = 0
        self._tag = b""
        self._waits = False
        """For the line that ends IDLE or goes on with AUTHENTICATE."""
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        while data:
            if self._to_take:
                data = self._take(data)
            elif self._in_command:
                taken, data = data[: self._in_command], data[self._in_command :]
                self._in_command -= len(taken)
                self._command += taken
            else:
                line, end, data = (self._unread + data).partition(b"\n")
                self._unread = b"" if end else line
                if end:
                    self._read(line.removesuffix(b"\r"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def _take(self, data: bytes) -> bytes:
        taken = min(self._to_take, len(data))
        self._to_take -= taken
        if not self._to_take:
            self._done()
        return data[taken:]

    def _read(self, line: bytes) -> None:
        literal = _LITERAL.search(line)
        if literal is not None:
            self._command += line
            self._in_command = int(literal[1])
            if not literal[2]:
                self._transport.write(b"+ go on\r\n")
        elif self._waits:
            self._waits = False
            self._done()
        else:
            command, self._command = self._command + line, b""
            self._answer(command)

    def _answer(self, line: bytes) -> None:
        self._tag, _, command = line.partition(b" ")
        bulk = _BULK.match(command)
        if bulk is None:
            self._answer_plainly(command.upper().split(b" "))
        elif bulk[1] == b"SEND":
            self._to_send = int(bulk[2])
            self._send()
        else:
            self._to_take = int(bulk[2])

    def _answer_plainly(self, words: list[bytes]) -> None:
        self._waits = words == [b"IDLE"] or (words[0] == b"AUTHENTICATE" and len(words) == 2)
        if self._waits:
            self._transport.write(b"+ \r\n")
            return
        self._transport.write(_ANSWERS.get(words[0], b""))
        self._done()
        if words[0] == b"LOGOUT":
            self._transport.close()

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
