"""An IMAP client's side of the conversation (RFC 3501, 2177, 4315), as much of it as the fleet speaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import ClassVar

from loadtest.fleet.connection import Connection
from loadtest.fleet.hearing import Refused, Trouble, shown

LINE = 65536
"""Longest line of a server in bytes."""

BIGGEST = 64 * 1024 * 1024
"""Most bytes of one message."""

_LITERAL = re.compile(rb"\{(\d{1,10})\}$")
_NUMBERED = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE|FETCH)\b", re.IGNORECASE)
_APPENDED = re.compile(rb"\[APPENDUID \d+ (\d+)\]", re.IGNORECASE)
_SERIAL = re.compile(rb"^X-Loadtest-Serial:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_UID = re.compile(rb"\bUID (\d{1,10})\b", re.IGNORECASE)

Piece = tuple[bytes, tuple[bytes, ...]]
"""An untagged response: its lines joined with each literal left out, and its literals."""


class Imap:
    """One session. `exists` is how many messages the server says there are; every method raises the connection's
    failures, `Refused` for NO and BAD, and `Trouble` for what is not IMAP."""

    NAME: ClassVar[str] = "imap"
    FAREWELL: ClassVar[bytes] = b"DONE\r\nz LOGOUT\r\n"
    """What a program says that is ended; whatever it is doing, a server understands."""

    __slots__ = ("_connection", "_tags", "exists", "phase")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tags = count(1)
        self.exists = 0
        self.phase = "greeting"

    async def greeting(self) -> None:
        line = await self._connection.line(LINE)
        if not line.upper().startswith(b"* OK"):
            raise Refused("greeting: refused", shown(line))

    async def login(self, user: str, password: str) -> None:
        self.phase = "login"
        await self.command(b"LOGIN %b %b" % (quoted(user), quoted(password)))

    async def select(self) -> None:
        self.phase = "select"
        await self.command(b"SELECT INBOX")

    async def noop(self) -> None:
        self.phase = "noop"
        await self.command(b"NOOP")

    async def status(self) -> None:
        self.phase = "noop"
        await self.command(b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN)")

    async def fetch(self, which: str, *, by_uid: bool = False) -> list[bytes]:
        """Whole messages; an empty list when there are none such."""
        self.phase = "fetch"
        uid = b"UID " if by_uid else b""
        pieces, _ = await self.command(b"%bFETCH %b BODY.PEEK[]" % (uid, which.encode()))
        return [literals[0] for line, literals in pieces if _is_fetch(line) and literals]

    async def serials(self, which: str) -> dict[int, int]:
        """Of the messages in a sequence set: serial -> UID, without those that are not ours."""
        self.phase = "fetch"
        command = b"FETCH %b (UID BODY.PEEK[HEADER.FIELDS (X-Loadtest-Serial)])" % which.encode()
        pieces, _ = await self.command(command)
        found: dict[int, int] = {}
        for line, literals in pieces:
            serial, uid = _SERIAL.search(b"\n".join(literals)), _UID.search(line)
            if _is_fetch(line) and serial and uid:
                found[int(serial[1])] = int(uid[1])
        return found

    async def append(self, message: bytes) -> int:
        """Store it by a synchronising literal; its UID if the server tells it (RFC 4315), else 0."""
        self.phase = "append"
        tag = b"a%d" % next(self._tags)
        await self._connection.send(b"%b APPEND INBOX {%d}\r\n" % (tag, len(message)))
        while not (line := await self._connection.line(LINE)).startswith(b"+"):
            if line.startswith(tag):
                raise Refused("append: refused", shown(line))
            self._note(line)
        await self._connection.send(message + b"\r\n")
        _, end = await self._answer(tag)
        told = _APPENDED.search(end)
        return int(told[1]) if told else 0

    async def idle(self, until: float) -> None:
        """Idle (RFC 2177) until this time of the engine's clock, or until another number of messages is told."""
        self.phase = "idle"
        tag, before = b"a%d" % next(self._tags), self.exists
        connection = self._connection
        await connection.send(tag + b" IDLE\r\n")
        while not (line := await connection.line(LINE)).startswith(b"+"):
            if line.startswith(tag):
                raise Refused("idle: refused", shown(line))
            self._note(line)
        await self._listen(until, lambda: self.exists != before)
        await connection.send(b"DONE\r\n")
        await self._answer(tag)

    async def rest(self, until: float) -> None:
        """Do nothing until this time, but hear when the server ends the session."""
        self.phase = "between commands"
        await self._listen(until, lambda: False)

    async def _listen(self, until: float, enough: Callable[[], bool]) -> None:
        while not enough() and await self._connection.heard(until):
            self._note(await self._connection.line(LINE))

    async def pipeline(self, number: int) -> int:
        """So many NOOPs in one go; how many were answered in their order."""
        self.phase = "pipeline"
        tags = await self.ask_only(b"NOOP", number)
        for done, tag in enumerate(tags):
            while not (line := await self._connection.line(LINE)).startswith(tag + b" OK"):
                if not line.startswith(b"* "):
                    return done
                self._note(line)
        return number

    async def ask_only(self, words: bytes, times: int) -> list[bytes]:
        """Send a command so many times in one go, and read no answer; the tags."""
        tags = [b"a%d" % next(self._tags) for _ in range(times)]
        await self._connection.send(b"".join(b"%b %b\r\n" % (tag, words) for tag in tags))
        return tags

    async def logout(self) -> None:
        self.phase = "logout"
        await self.command(b"LOGOUT")

    async def command(self, words: bytes) -> tuple[list[Piece], bytes]:
        """What was answered, untagged and in the end. Raises `Refused` unless that is OK."""
        tag = b"a%d" % next(self._tags)
        await self._connection.send(b"%b %b\r\n" % (tag, words))
        return await self._answer(tag)

    async def _answer(self, tag: bytes) -> tuple[list[Piece], bytes]:
        pieces: list[Piece] = []
        while True:
            line, literals = await self._response()
            if line.startswith(b"* "):
                self._note(line)
                pieces.append((line, literals))
            elif line.startswith(tag + b" "):
                if not line[len(tag) + 1 :].upper().startswith(b"OK"):
                    raise Refused(f"{self.phase}: refused", shown(line))
                return pieces, line
            elif not line.startswith(b"+"):
                raise Trouble(f"{self.phase}: not the protocol", shown(line))

    async def _response(self) -> Piece:
        line = await self._connection.line(LINE)
        if not line.endswith(b"}"):
            return line, ()
        lines, literals = [line], []
        while match := _LITERAL.search(lines[-1]):
            if int(match[1]) > BIGGEST:
                raise Trouble(f"{self.phase}: too big a message", shown(lines[-1]))
            literals.append(await self._connection.exactly(int(match[1])))
            lines.append(await self._connection.line(LINE))
        return b"".join(lines), tuple(literals)

    def _note(self, line: bytes) -> None:
        """Keep count of the mailbox."""
        if numbered := _NUMBERED.match(line):
            what = numbered[2].upper()
            if what == b"EXISTS":
                self.exists = int(numbered[1])
            elif what == b"EXPUNGE":
                self.exists -= 1
        elif line.upper().startswith(b"* BYE") and self.phase != "logout":
            raise Trouble(f"{self.phase}: sent away", shown(line))


def _is_fetch(line: bytes) -> bool:
    match = _NUMBERED.match(line)
    return match is not None and match[2].upper() == b"FETCH"


def quoted(text: str) -> bytes:
    """A quoted string."""
    return b'"' + text.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
