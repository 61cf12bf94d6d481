"""Searches with controls, and the controls of their results (RFC 4511 section 4.1.11). No I/O.

Three controls are known: paged results (RFC 2696), and of Active Directory Show Deleted (MS-ADTS 3.1.1.3.4.1.14) and
DirSync (MS-ADTS 3.1.1.3.4.1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ldapmap.client.ber import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    BerError,
    element,
    expect,
    integer,
    number,
    octet_string,
    wrap,
)
from ldapmap.client.filters import Filter
from ldapmap.client.messages import Response, Result, decode, search_head

PAGED_RESULTS = b"1.2.840.113556.1.4.319"
SHOW_DELETED = b"1.2.840.113556.1.4.417"
DIRSYNC = b"1.2.840.113556.1.4.841"

_CONTROLS = 0xA0
_CRITICAL = b"\x01\x01\xff"

Controls = dict[bytes, bytes]
"""Object identifier -> value, empty where there is none."""


class Question(NamedTuple):
    """A search without a size limit; its controls are told apart."""

    base: str
    scope: Literal["base", "one", "subtree"]
    condition: Filter
    attributes: Sequence[str]


# --- requests ---


def search_request(message_id: int, question: Question, controls: Sequence[bytes] = ()) -> bytes:
    """The search with these controls, each made by one of the functions below."""
    attributes = wrap(b"\x30", b"".join(octet_string(name.encode()) for name in question.attributes))
    head = search_head(question.base, question.scope, 0)
    operation = wrap(b"\x63", head + question.condition.encode() + attributes)
    attached = wrap(b"\xa0", b"".join(controls)) if controls else b""
    return wrap(b"\x30", integer(message_id) + operation + attached)


def paged_results(size: int, cookie: bytes) -> bytes:
    """At most `size` entries, going on where the page that gave `cookie` ended."""
    return _control(PAGED_RESULTS, wrap(b"\x30", integer(size) + octet_string(cookie)))


def show_deleted() -> bytes:
    """Tombstones, too: what is left of deleted entries, with their `objectGUID`."""
    return _control(SHOW_DELETED)


def dirsync(size: int, cookie: bytes) -> bytes:
    """What changed since `cookie`, at most `size` bytes at once (the server has a limit of its own)."""
    return _control(DIRSYNC, wrap(b"\x30", integer(0) + integer(size) + octet_string(cookie)))


def _control(identifier: bytes, value: bytes | None = None) -> bytes:
    return wrap(b"\x30", octet_string(identifier) + _CRITICAL + (b"" if value is None else octet_string(value)))


# --- responses ---


class ControlledDecoder:
    """Decodes as `messages.decode` does, and keeps the controls of the result it saw last."""

    def __init__(self) -> None:
        self.controls: Controls = {}

    def __call__(self, data: bytes, at: int, end: int) -> Response:
        response = decode(data, at, end)
        if type(response) is Result:
            self.controls = _controls(data, at, end)
        return response


def next_page(value: bytes) -> bytes:
    """The cookie of a paged results control's value; empty: that was the last page. Raises BerError."""
    at, end = expect(value, 0, len(value), SEQUENCE)
    _, at = expect(value, at, end, INTEGER)
    return _octets(value, at, end)


def next_changes(value: bytes) -> tuple[bool, bytes]:
    """Whether more waits to be asked for, and the cookie to do it with, of a DirSync control's value."""
    at, end = expect(value, 0, len(value), SEQUENCE)
    start, at = expect(value, at, end, INTEGER)
    more = number(value, start, at) != 0
    _, at = expect(value, at, end, INTEGER)
    return more, _octets(value, at, end)


def _controls(data: bytes, at: int, end: int) -> Controls:
    """The controls of a message that `messages.decode` has found correct otherwise."""
    found: Controls = {}
    _, at = expect(data, at, end, INTEGER)
    _, _, at = element(data, at, end)
    if at == end:
        return found
    at, end = expect(data, at, end, _CONTROLS)
    while at < end:
        start, at = expect(data, at, end, SEQUENCE)
        begin, stop = expect(data, start, at, OCTET_STRING)
        found[data[begin:stop]] = _value(data, stop, at)
    return found


def _value(data: bytes, at: int, end: int) -> bytes:
    """The value behind the criticality, if they are there."""
    while at < end:
        tag, start, at = element(data, at, end)
        if tag == OCTET_STRING:
            return data[start:at]
        if tag != _CRITICAL[0]:
            raise BerError("a control has an unknown part")
    return b""


def _octets(data: bytes, at: int, end: int) -> bytes:
    start, stop = expect(data, at, end, OCTET_STRING)
    return data[start:stop]
