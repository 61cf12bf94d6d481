"""Entries out of LDIF content (RFC 2849), for the directory in a file."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(rb"([A-Za-z0-9][A-Za-z0-9.;-]*):(:|<|)[ ]*(.*)", re.DOTALL)

Line = tuple[int, bytes]
"""A line number, counted from 1, and a line without folding and line end."""


class LdifFault(Exception):
    """The content is not LDIF that we read. The text names the line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Record:
    """An entry: attribute names are lower-cased."""

    line: int
    dn: str
    attributes: dict[bytes, list[bytes]]


def read_ldif(content: bytes) -> Iterator[Record]:
    """Every entry of LDIF content. Raises LdifFault; change records and values by URL are refused."""
    for number, lines in enumerate(_blocks(content)):
        pairs = [_pair(line) for line in lines]
        if number == 0 and pairs[0][1] == b"version":
            _check_version(*pairs.pop(0))
        if pairs:
            yield _record(pairs)


def _blocks(content: bytes) -> Iterator[list[Line]]:
    """The unfolded lines of each record, without comments."""
    block: list[Line] = []
    for number, line in _unfolded(content):
        if line.startswith(b"#"):
            continue
        if line:
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _unfolded(content: bytes) -> Iterator[Line]:
    """A line that begins with a blank continues the one before it (RFC 2849 note 2)."""
    first, parts = 0, list[bytes]()
    for number, raw in enumerate(content.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if line.startswith(b" "):
            if not parts or parts == [b""]:
                raise LdifFault(number, "a continuation line follows nothing")
            parts.append(line[1:])
            continue
        if parts:
            yield first, b"".join(parts)
        first, parts = number, [line]
    yield first, b"".join(parts)


def _pair(line: Line) -> tuple[int, bytes, bytes]:
    """Line number, lower-case attribute name, value."""
    number, text = line
    match = _LINE.fullmatch(text)
    if match is None:
        raise LdifFault(number, "not of the form attribute: value")
    name, form, value = match[1].lower(), match[2], match[3]
    if form == b"<":
        raise LdifFault(number, "values from URLs (:<) are not supported; write the value itself")
    return number, name, _decoded(number, value) if form == b":" else value


def _decoded(number: int, value: bytes) -> bytes:
    try:
        return base64.b64decode(value.rstrip(b" "), validate=True)
    except binascii.Error:
        raise LdifFault(number, "the value behind :: is not base64") from None


def _check_version(number: int, _name: bytes, value: bytes) -> None:
    if value.strip() != b"1":
        raise LdifFault(number, "only version 1 of LDIF is known")


def _record(pairs: list[tuple[int, bytes, bytes]]) -> Record:
    (first, name, value), *rest = pairs
    if name != b"dn":
        raise LdifFault(first, "an entry begins with its dn")
    attributes: dict[bytes, list[bytes]] = {}
    for number, name, content in rest:
        if name in (b"changetype", b"control"):
            raise LdifFault(number, "change records are not supported; only entries are")
        if name == b"dn":
            raise LdifFault(number, "a second dn; entries are separated by an empty line")
        attributes.setdefault(name, []).append(content)
    return Record(first, _dn(first, value), attributes)


def _dn(number: int, value: bytes) -> str:
    try:
        dn = value.decode().strip()
    except UnicodeDecodeError:
        raise LdifFault(number, "the dn is not UTF-8") from None
    if not dn:
        raise LdifFault(number, "the dn is empty")
    return dn
