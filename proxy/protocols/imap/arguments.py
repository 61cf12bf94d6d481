"""The arguments of an IMAP command, read one after the other as the grammar of RFC 3501 section 9 has them."""

from __future__ import annotations

import re

from proxy.protocols.limits import Limits
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong, Wire

#: Atoms as clients write them: `%` and `*` and 8-bit bytes pass, since passwords are typed unquoted by some.
_ATOM = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')
_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"\{([0-9]{1,10})(\+?)\}")


class Arguments:
    """The rest of a command line, and the literals and lines that follow it on the wire."""

    __slots__ = ("_limits", "_rest", "_wire")

    def __init__(self, wire: Wire, rest: bytes, limits: Limits) -> None:
        self._wire = wire
        self._rest = rest
        self._limits = limits

    def atom(self) -> bytes:
        """An atom; raises `BadCommand`."""
        match = _ATOM.match(self._rest)
        if match is None:
            raise BadCommand("An atom was expected.")
        return self._taken(match)

    async def string(self, limit: int) -> bytes:
        """A quoted string or literal of at most `limit` bytes; raises `BadCommand`, `LineTooLong`."""
        if self._rest.startswith(b"{"):
            return await self._literal(limit)
        match = _QUOTED.match(self._rest)
        if match is None:
            raise BadCommand("A quoted string or literal was expected.")
        self._taken(match)
        value = match[1]
        return self._within(limit, _ESCAPE.sub(rb"\1", value) if b"\\" in value else value)

    async def astring(self, limit: int) -> bytes:
        """An atom, quoted string or literal of at most `limit` bytes; raises `BadCommand`, `LineTooLong`."""
        if self._rest[:1] in (b'"', b"{"):
            return await self.string(limit)
        return self._within(limit, self.atom())

    async def nstring(self, limit: int) -> bytes | None:
        """A string, or None for NIL; raises as `string`."""
        if self._rest[:3].upper() == b"NIL" and self._rest[3:4] in (b"", b" ", b")"):
            self._rest = self._rest[3:]
            return None
        return await self.string(limit)

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

    async def _literal(self, limit: int) -> bytes:
        match = _LITERAL.fullmatch(self._rest)
        if match is None:
            raise BadCommand("A literal ends its line.")
        size, synchronising = int(match[1]), not match[2]
        if size > min(limit, self._limits.literal):
            # An announced literal can be declined; one that is on its way already can only end the connection.
            raise BadCommand("The literal is too large.") if synchronising else LineTooLong
        if synchronising:
            await self._wire.send(b"+ OK\r\n")
        value = await self._wire.exactly(size)
        self._rest = await self._wire.line(self._limits.line)
        if b"\0" in value:
            raise BadCommand("A literal does not hold NUL.")
        return value

    def _taken(self, match: re.Match[bytes]) -> bytes:
        self._rest = self._rest[match.end() :]
        return match[0]

    @staticmethod
    def _within(limit: int, value: bytes) -> bytes:
        if len(value) > limit:
            raise BadCommand("An argument is too long.")
        return value
