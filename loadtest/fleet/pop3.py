"""A POP3 client's side of the conversation (RFC 1939), as much of it as the fleet speaks."""

from __future__ import annotations

from typing import ClassVar

from loadtest.fleet.connection import Connection
from loadtest.fleet.hearing import Refused, Trouble, shown

LINE = 65536
BIGGEST = 64 * 1024 * 1024
"""Most bytes of one message."""

MOST_MESSAGES = 100_000


class Pop3:
    """One session; methods raise the connection's failures, `Refused` for -ERR, and `Trouble` for what is not POP3."""

    NAME: ClassVar[str] = "pop3"
    FAREWELL: ClassVar[bytes] = b"QUIT\r\n"
    """What a program says that is ended; whatever it is doing, a server understands."""

    __slots__ = ("_connection", "phase")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.phase = "greeting"

    async def greeting(self) -> None:
        await self._reply()

    async def login(self, user: str, password: str) -> None:
        self.phase = "login"
        await self._ask(f"USER {user}")
        await self._ask(f"PASS {password}")

    async def stat(self) -> tuple[int, int]:
        """How many messages, and how many bytes."""
        self.phase = "retrieve"
        words = (await self._ask("STAT")).split()
        if len(words) < 3 or not (words[1].isdigit() and words[2].isdigit()):
            raise Trouble("retrieve: not the protocol", shown(b" ".join(words)))
        return int(words[1]), int(words[2])

    async def uidl(self) -> list[str]:
        """The unique identifiers, in the order of the messages' numbers from 1."""
        self.phase = "retrieve"
        await self._ask("UIDL")
        identifiers = []
        while (line := await self._connection.line(LINE)) != b".":
            identifiers.append(shown(line.partition(b" ")[2]))
            if len(identifiers) > MOST_MESSAGES:
                raise Trouble("retrieve: too many messages", shown(line))
        return identifiers

    async def retrieve(self, number: int) -> bytes:
        """One message."""
        self.phase = "retrieve"
        await self._ask(f"RETR {number}")
        lines, size = [], 0
        while (line := await self._connection.line(LINE)) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
            size += len(line) + 2
            if size > BIGGEST:
                raise Trouble("retrieve: too big a message", shown(line))
        return b"\r\n".join([*lines, b""])

    async def delete(self, number: int) -> None:
        self.phase = "delete"
        await self._ask(f"DELE {number}")

    async def logout(self) -> None:
        """Quit; what was deleted is gone when this returns."""
        self.phase = "quit"
        await self._ask("QUIT")

    async def _ask(self, command: str) -> bytes:
        await self._connection.send(command.encode() + b"\r\n")
        return await self._reply()

    async def _reply(self) -> bytes:
        line = await self._connection.line(LINE)
        if line.startswith(b"+OK"):
            return line
        if line.startswith(b"-ERR"):
            raise Refused(f"{self.phase}: refused", shown(line))
        raise Trouble(f"{self.phase}: not the protocol", shown(line))
