"""The arguments of an IMAP command, read one after the other as the grammar of RFC 3501 section 9 has them."""

from __future__ import annotations

import re

from proxy.protocols.commandline import CommandLine
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong

#: Atoms as clients write them: `%` and `*` and 8-bit bytes pass, since passwords are typed unquoted by some.
_ATOM = re.compile(rb'[^\x00-\x20\x7f(){"\\]+')
_LITERAL = re.compile(rb"\{([0-9]{1,10})(\+?)\}")


class Arguments(CommandLine):
    """The arguments of a command; only literals with a plus come without being asked for."""

    __slots__ = ()

    _coming = re.compile(rb"\{([0-9]+)\+\}$")

    def atom(self) -> bytes:
        """An atom; raises `BadCommand`."""
        match = _ATOM.match(self._rest)
        if match is None:
            raise BadCommand("An atom was expected.")
        self._rest = self._rest[match.end() :]
        return match[0]

    async def string(self, limit: int) -> bytes:
        """A quoted string or literal of at most `limit` bytes; raises `BadCommand`, `LineTooLong`."""
        if self._rest.startswith(b"{"):
            return await self._literal(limit)
        value = self._quoted()
        if value is None:
            raise BadCommand("A quoted string or literal was expected.")
        return self._within(limit, value)

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
        return await self._literal_of(size)

    @staticmethod
    def _within(limit: int, value: bytes) -> bytes:
        if len(value) > limit:
            raise BadCommand("An argument is too long.")
        return value
