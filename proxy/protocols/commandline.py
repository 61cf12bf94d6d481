"""A command of IMAP or ManageSieve, read argument by argument: what both write alike (RFC 3501 section 9, RFC 5804)."""

from __future__ import annotations

import re
from typing import ClassVar

from proxy.protocols.limits import Limits
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong, Wire

_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


class CommandLine:
    """The rest of a command line, and the literals and lines that follow it on the wire."""

    __slots__ = ("_limits", "_rest", "_wire")

    #: A literal, announced at the end of a line, that the client sends without being asked; the size is its group.
    _coming: ClassVar[re.Pattern[bytes]]

    def __init__(self, wire: Wire, rest: bytes, limits: Limits) -> None:
        self._wire = wire
        self._rest = rest
        self._limits = limits

    def take(self, expected: bytes) -> bool:
        """Whether the rest goes on with `expected`, which is consumed if so."""
        if not self._rest.startswith(expected):
            return False
        self._rest = self._rest[len(expected) :]
        return True

    def space(self) -> None:
        """Consume the one space between two arguments; raises `BadCommand`."""
        if not self.take(b" "):
            raise BadCommand("One space was expected between arguments.")

    def end(self) -> None:
        """Raises `BadCommand` unless everything has been read."""
        if self._rest:
            raise BadCommand("The command has too many arguments.")

    async def skip(self) -> None:
        """Read past the literals that are on their way behind a bad command: nothing in them is a command.

        Raises `LineTooLong` for a literal over the limit.
        """
        while (match := self._coming.search(self._rest)) is not None:
            if len(match[1]) > 10 or int(match[1]) > self._limits.literal:
                raise LineTooLong
            await self._wire.exactly(int(match[1]))
            self._rest = await self._wire.line(self._limits.line)

    def _quoted(self) -> bytes | None:
        """The value of a quoted string, or None where there is none."""
        match = _QUOTED.match(self._rest)
        if match is None:
            return None
        self._rest = self._rest[match.end() :]
        value = match[1]
        return _ESCAPE.sub(rb"\1", value) if b"\\" in value else value

    async def _literal_of(self, size: int) -> bytes:
        """The bytes of a literal, and behind it the line that goes on; raises `BadCommand` for NUL."""
        value = await self._wire.exactly(size)
        self._rest = await self._wire.line(self._limits.line)
        if b"\0" in value:
            raise BadCommand("A literal does not hold NUL.")
        return value
