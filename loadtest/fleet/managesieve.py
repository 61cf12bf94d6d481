"""A ManageSieve client's side of the conversation (RFC 5804), as much of it as the fleet speaks."""

from __future__ import annotations

import base64
import re
from typing import ClassVar

from loadtest.fleet.connection import Connection
from loadtest.fleet.hearing import Refused, Trouble, shown

LINE = 65536
BIGGEST = 1024 * 1024
"""Most bytes of a script."""

MOST_LINES = 1000
_LITERAL = re.compile(rb"\{(\d{1,10})\+?\}$")


class ManageSieve:
    """One session; methods raise the connection's failures, `Refused` for NO and BYE, `Trouble` for anything else."""

    NAME: ClassVar[str] = "managesieve"
    FAREWELL: ClassVar[bytes] = b"LOGOUT\r\n"
    """What a program says that is ended; whatever it is doing, a server understands."""

    __slots__ = ("_connection", "phase")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.phase = "greeting"

    async def greeting(self) -> None:
        await self._answer()

    async def login(self, user: str, password: str) -> None:
        self.phase = "login"
        response = base64.b64encode(f"\0{user}\0{password}".encode())
        await self._ask(b'AUTHENTICATE "PLAIN" "%b"' % response)

    async def put(self, name: str, script: bytes) -> None:
        await self._in(b'PUTSCRIPT "%b" {%d+}\r\n%b' % (name.encode(), len(script), script))

    async def get(self, name: str) -> bytes:
        """The script."""
        pieces = await self._in(b'GETSCRIPT "%b"' % name.encode())
        if len(pieces) != 1:
            raise Trouble("script: not the protocol", shown(b" ".join(pieces)))
        return pieces[0]

    async def names(self) -> list[str]:
        """Of all scripts."""
        lines = await self._in(b"LISTSCRIPTS")
        return [line.split(b'"')[1].decode(errors="replace") for line in lines if line.startswith(b'"')]

    async def delete(self, name: str) -> None:
        await self._in(b'DELETESCRIPT "%b"' % name.encode())

    async def logout(self) -> None:
        self.phase = "logout"
        await self._ask(b"LOGOUT")

    async def _in(self, command: bytes) -> list[bytes]:
        self.phase = "script"
        return await self._ask(command)

    async def _ask(self, command: bytes) -> list[bytes]:
        await self._connection.send(command + b"\r\n")
        return await self._answer()

    async def _answer(self) -> list[bytes]:
        """Lines and literals up to OK."""
        pieces: list[bytes] = []
        while len(pieces) < MOST_LINES:
            line = await self._connection.line(LINE)
            if re.match(rb"OK\b", line, re.IGNORECASE):
                return pieces
            if re.match(rb"(NO|BYE)\b", line, re.IGNORECASE):
                raise Refused(f"{self.phase}: refused", shown(line))
            pieces.append(await self._literal(line))
        raise Trouble(f"{self.phase}: not the protocol", "too many lines")

    async def _literal(self, line: bytes) -> bytes:
        match = _LITERAL.search(line)
        if match is None:
            return line
        if int(match[1]) > BIGGEST:
            raise Trouble(f"{self.phase}: too big a script", shown(line))
        script = await self._connection.exactly(int(match[1]))
        await self._connection.line(LINE)
        return script
