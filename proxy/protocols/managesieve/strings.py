"""Strings of ManageSieve, quoted or literal (RFC 5804 section 4), read and written."""

from __future__ import annotations

import re

from proxy.protocols.commandline import CommandLine
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong

_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}")


class Strings(CommandLine):
    """The strings that are a command's arguments; its literals are on their way whether they are wanted or not."""

    __slots__ = ()

    _coming = re.compile(rb"\{([0-9]+)\+?\}$")

    @property
    def rest(self) -> bytes:
        """What has not been read."""
        return self._rest

    async def next(self, limit: int) -> bytes:
        """A string; raises `BadCommand`, and `LineTooLong` for a literal over `limit` bytes."""
        value = self._quoted()
        if value is not None:
            return value
        literal = _LITERAL.fullmatch(self._rest)
        if literal is None:
            raise BadCommand("A string was expected.")
        if int(literal[1]) > limit:
            raise LineTooLong
        return await self._literal_of(int(literal[1]))


def quoted(text: str) -> str:
    """`text`, which holds no line end, as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
