"""Search filters in their text form (RFC 4515), compiled once for the wire or evaluated on an entry of a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ldapmap.client.ber import octet_string, wrap
from ldapmap.values import Values

_DEPTH_LIMIT = 32
_ITEM = re.compile(r"([^=~<>:()*\\\0]+)(=|~=|>=|<=)([^()\0]*)")
_EXTENSIBLE = re.compile(r"([^=~<>:()*\\\0]*)(:dn)?(?::([A-Za-z0-9.-]+))?:=([^()*\0]*)")
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)(;[A-Za-z0-9-]+)*")
_ORDERINGS = {">=": b"\xa5", "<=": b"\xa6", "~=": b"\xa8"}
_ESCAPED = re.compile(rb"[\0()*\\]")


class FilterError(ValueError):
    """Not a filter we can use; the text says why."""


@dataclass(frozen=True, slots=True)
class Group:
    """All (`&`) or any (`|`) of the parts match."""

    every: bool
    parts: tuple[Filter, ...]

    def encode(self) -> bytes:
        return wrap(b"\xa0" if self.every else b"\xa1", b"".join(part.encode() for part in self.parts))

    def matches(self, entry: Values) -> bool:
        return (all if self.every else any)(part.matches(entry) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter

    def encode(self) -> bytes:
        return wrap(b"\xa2", self.part.encode())

    def matches(self, entry: Values) -> bool:
        return not self.part.matches(entry)


@dataclass(frozen=True, slots=True)
class Present:
    attribute: bytes

    def encode(self) -> bytes:
        return wrap(b"\x87", self.attribute)

    def matches(self, entry: Values) -> bool:
        # every entry has an object class, even where a file leaves it out
        return self.attribute.lower() == b"objectclass" or self.attribute.lower() in entry


@dataclass(frozen=True, slots=True)
class Equal:
    attribute: bytes
    value: bytes

    def encode(self) -> bytes:
        return wrap(b"\xa3", octet_string(self.attribute) + octet_string(self.value))

    def matches(self, entry: Values) -> bool:
        return folded(self.value) in map(folded, entry.get(self.attribute.lower(), ()))


@dataclass(frozen=True, slots=True)
class Substrings:
    """`pieces` are what stands between the asterisks; the first and the last may be empty."""

    attribute: bytes
    pieces: tuple[bytes, ...]

    def encode(self) -> bytes:
        last = len(self.pieces) - 1
        tags = [b"\x80" if place == 0 else b"\x82" if place == last else b"\x81" for place in range(last + 1)]
        pieces = b"".join(wrap(tag, piece) for tag, piece in zip(tags, self.pieces, strict=True) if piece)
        return wrap(b"\xa4", octet_string(self.attribute) + wrap(b"\x30", pieces))

    def matches(self, entry: Values) -> bool:
        pattern = re.compile(".*".join(re.escape(folded(piece)) for piece in self.pieces), re.DOTALL)
        return any(pattern.fullmatch(folded(value)) for value in entry.get(self.attribute.lower(), ()))


@dataclass(frozen=True, slots=True)
class ServerOnly:
    """Ordering, approximate and extensible matches: they need matching rules that only a server has."""

    encoded: bytes

    def encode(self) -> bytes:
        return self.encoded

    def matches(self, entry: Values) -> bool:
        raise FilterError("an LDIF file can be filtered only with &, |, !, =, =* and substrings")


Filter = Group | Not | Present | Equal | Substrings | ServerOnly


def parse_filter(text: str) -> Filter:
    """Compile a filter. Raises FilterError for anything RFC 4515 does not allow or that is nested deeper than 32."""
    parsed, at = _parse(text, 0, _DEPTH_LIMIT)
    if at != len(text):
        raise FilterError(f"something follows the filter at character {at + 1}")
    return parsed


def escape(value: str) -> str:
    """A value as RFC 4515 writes it, for people to read: what is sent is never made from text."""
    return _ESCAPED.sub(lambda match: b"\\%02x" % match[0][0], value.encode()).decode()


def folded(value: bytes) -> str:
    """A value as it is compared in a file: without regard to case. Bytes that are not UTF-8 equal only themselves."""
    return value.decode("utf-8", "surrogateescape").casefold()


def _parse(text: str, at: int, depth: int) -> tuple[Filter, int]:
    if not depth:
        raise FilterError(f"filters are nested deeper than {_DEPTH_LIMIT}")
    if text[at : at + 1] != "(":
        raise FilterError(f"a filter begins with a parenthesis: one is missing at character {at + 1}")
    kind = text[at + 1 : at + 2]
    if kind in ("&", "|", "!"):
        parts, end = _parse_parts(text, at + 2, depth - 1)
        return _combined(kind, parts), end
    end = text.find(")", at)
    if end < 0:
        raise FilterError(f"the parenthesis at character {at + 1} is not closed")
    return _item(text[at + 1 : end]), end + 1


def _parse_parts(text: str, at: int, depth: int) -> tuple[list[Filter], int]:
    parts = []
    while text[at : at + 1] != ")":
        part, at = _parse(text, at, depth)
        parts.append(part)
    return parts, at + 1


def _combined(kind: str, parts: Iterable[Filter]) -> Filter:
    parts = tuple(parts)
    if kind != "!":
        return Group(kind == "&", parts)
    if len(parts) != 1:
        raise FilterError("(!...) negates exactly one filter")
    return Not(parts[0])


def _item(text: str) -> Filter:
    match = _ITEM.fullmatch(text)
    if match is None:
        return _extensible(text)
    attribute, operator, value = _attribute(match[1]), match[2], match[3]
    if operator == "=" and value == "*":
        return Present(attribute)
    pieces = tuple(_unescaped(piece) for piece in value.split("*"))
    if len(pieces) == 1:
        return Equal(attribute, pieces[0]) if operator == "=" else _ordering(operator, attribute, pieces[0])
    if operator != "=" or not all(pieces[1:-1]) or not any(pieces):
        raise FilterError(f"an asterisk is out of place in {text!r}; write \\2a for the character itself")
    return Substrings(attribute, pieces)


def _ordering(operator: str, attribute: bytes, value: bytes) -> Filter:
    return ServerOnly(wrap(_ORDERINGS[operator], octet_string(attribute) + octet_string(value)))


def _extensible(text: str) -> Filter:
    match = _EXTENSIBLE.fullmatch(text)
    if match is None or not (match[1] or match[3]):
        raise FilterError(f"{text!r} is not of the form attribute=value")
    rule = wrap(b"\x81", match[3].encode()) if match[3] else b""
    attribute = wrap(b"\x82", _attribute(match[1])) if match[1] else b""
    of_the_dn = b"\x84\x01\xff" if match[2] else b""
    return ServerOnly(wrap(b"\xa9", rule + attribute + wrap(b"\x83", _unescaped(match[4])) + of_the_dn))


def _attribute(text: str) -> bytes:
    if not _ATTRIBUTE.fullmatch(text):
        raise FilterError(f"{text!r} is not an attribute name")
    return text.encode()


def _unescaped(text: str) -> bytes:
    first, *rest = text.split("\\")
    value = first.encode("utf-8", "surrogateescape")
    for piece in rest:
        if not re.match(r"[0-9A-Fa-f]{2}", piece):
            raise FilterError("a backslash is followed by two hexadecimal digits; write \\5c for the character itself")
        value += bytes.fromhex(piece[:2]) + piece[2:].encode("utf-8", "surrogateescape")
    return value
