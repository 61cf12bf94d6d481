"""Strings of ManageSieve, quoted or literal (RFC 5804 section 4), read and written."""

from __future__ import annotations

import re

from proxy.protocols.limits import Limits
from proxy.protocols.preauth import BadCommand
from proxy.protocols.wire import LineTooLong, Wire

_QUOTED = re.compile(rb'"((?:[^\x00\r\n"\\]|\\["\\])*)"')
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_LITERAL = re.compile(rb"\{([0-9]{1,10})(\+?)\}")


class Strings:
    """The rest of a line, and the literals and lines that follow it on the wire."""

    __slots__ = ("_limits", "_rest", "_wire")

    def __init__(self, wire: Wire, rest: bytes, limits: Limits) -> None:
        self._wire = wire
        self._rest = rest
        self._limits = limits

    @property
    def rest(self) -> bytes:
        """What has not been read."""
        return self._rest

    async def next(self) -> bytes:
        """A string; raises `BadCommand`, and `LineTooLong` for a literal over the limit, since it is on its way."""
        quoted = _QUOTED.match(self._rest)
        if quoted is not None:
            self._rest = self._rest[quoted.end() :]
            return _ESCAPE.sub(rb"\1", quoted[1])
        literal = _LITERAL.fullmatch(self._rest)
        if literal is None:
            raise BadCommand("A string was expected.")
        if int(literal[1]) > self._limits.literal:
            raise LineTooLong
        value = await self._wire.exactly(int(literal[1]))
        self._rest = await self._wire.line(self._limits.line)
        if b"\0" in value:
            raise BadCommand("A string does not hold NUL.")
        return value

    def space(self) -> None:
        """Consume the one space between two arguments; raises `BadCommand`."""
        if not self._rest.startswith(b" "):
            raise BadCommand("One space was expected between arguments.")
        self._rest = self._rest[1:]

    def end(self) -> None:
        """Raises `BadCommand` unless everything has been read."""
        if self._rest:
            raise BadCommand("The command has too many arguments.")


def quoted(text: str) -> str:
    """`text`, which holds no line end, as a quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
