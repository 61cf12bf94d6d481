"""Commands of IMAP and ManageSieve as words: atoms, quoted strings, literals, and lists of them."""

from __future__ import annotations

import re
from typing import TypeAlias

from proxy.protocols.wire import LineTooLong, Wire

Word: TypeAlias = "bytes | list[Word]"

LITERAL = 65536
"""Longest literal in bytes, unless more are allowed."""

_MOST_LITERALS = 16
_DEEPEST = 8
_LITERAL_AT_END = re.compile(rb"\{([0-9]{1,10})(\+?)\}$")
_QUOTED = rb'"(?P<quoted>(?:[^"\\\r\n]|\\["\\])*)"'
_ATOM = rb'(?P<atom>(?:\[[^\]]*\]|[^\s()\[\]"])+)'
_PLAIN = re.compile(rb"[!#-'*-Z^-z|~]+(?: [!#-'*-Z^-z|~]+)*")
"""A line of atoms alone, as most are: no string, list, section or literal in it."""
_TOKEN = re.compile(rb"\s*(?:(?P<open>\()|(?P<close>\))|" + _QUOTED + b"|" + _ATOM + b")")


class BadSyntax(ValueError):
    """A command that is none; `first` is its first word, for the answer."""

    def __init__(self, first: bytes) -> None:
        super().__init__(first)
        self.first = first


async def read_command(wire: Wire, limit: int, go_ahead: bytes = b"", longest: int = LITERAL) -> list[Word]:
    """The words of the next command, its literals included.

    `go_ahead` is sent before a synchronising literal. Raises `BadSyntax` when the command has been read and is none,
    `LineTooLong` for a line over `limit`, a literal over `longest`, or too many of them, and the wire's other failures.
    """
    line = await wire.line(limit)
    if _PLAIN.fullmatch(line):
        return list(line.split(b" "))
    nest = _Nest()
    for again in range(_MOST_LITERALS):
        if again:
            line = await wire.line(limit)
        literal = _LITERAL_AT_END.search(line)
        nest.feed(line[: literal.start()] if literal else line)
        if literal is None:
            return nest.complete()
        if int(literal[1]) > longest:
            break
        if go_ahead and not literal[2]:
            await wire.send(go_ahead)
        nest.add(await wire.exactly(int(literal[1])))
    raise LineTooLong


def parse(line: bytes) -> list[Word]:
    """The words of a line without literals; raises `BadSyntax`."""
    nest = _Nest()
    nest.feed(line)
    return nest.complete()


def text(word: Word) -> str:
    """A word as text; a list is not one (`BadSyntax`)."""
    if isinstance(word, list):
        raise BadSyntax(b"")
    return word.decode(errors="replace")


class _Nest:
    """Lists within lists, under construction."""

    def __init__(self) -> None:
        self._lists: list[list[Word]] = [[]]
        self._faulty = False

    def add(self, word: Word) -> None:
        self._lists[-1].append(word)

    def feed(self, line: bytes) -> None:
        """Take the words of a line; what follows a fault is not looked at."""
        position = 0
        line = line.rstrip()
        while position < len(line) and not self._faulty:
            match = _TOKEN.match(line, position)
            if match is None:
                self._faulty = True
                return
            position = match.end()
            self._take(match)

    def complete(self) -> list[Word]:
        words = self._lists[0]
        if self._faulty or len(self._lists) > 1 or not words:
            raise BadSyntax(words[0] if words and isinstance(words[0], bytes) else b"")
        return words

    def _take(self, match: re.Match[bytes]) -> None:
        if match["open"]:
            inner: list[Word] = []
            self.add(inner)
            self._lists.append(inner)
            self._faulty = len(self._lists) > _DEEPEST
        elif match["close"]:
            self._faulty = len(self._lists) == 1
            self._lists = self._lists[:1] + self._lists[1:-1]
        elif match["quoted"] is not None:
            self.add(re.sub(rb"\\(.)", rb"\1", match["quoted"]))
        else:
            self.add(match["atom"])
