"""Content synchronisation (RFC 4533) as bytes: what is asked, and the stream of what is answered. No I/O.

A first load is one entry after another in the plainest form there is, so `_quick` reads that form with as few steps as
Python allows, checking that every length agrees with what encloses it; whatever differs is read by the ordinary way,
which decides what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, cast

from ldapmap.client.ber import (
    ENUMERATED,
    INTEGER,
    LENGTHS,
    OCTET_STRING,
    SEQUENCE,
    SET,
    BerError,
    element,
    expect,
    integer,
    number,
    octet_string,
    wrap,
)
from ldapmap.client.filters import Filter
from ldapmap.client.messages import (
    INTERMEDIATE_RESPONSE,
    SEARCH_DONE,
    SEARCH_ENTRY,
    FoundEntry,
    Other,
    Result,
    attributes_of,
)
from ldapmap.client.messages import decode as decode_plain
from ldapmap.client.stream import Stream

PRESENT, ADD, MODIFY, DELETE = range(4)
"""The states of an entry (RFC 4533 section 2.2)."""

_REQUEST, _STATE, _DONE = b"1.3.6.1.4.1.4203.1.9.1.1", b"1.3.6.1.4.1.4203.1.9.1.2", b"1.3.6.1.4.1.4203.1.9.1.3"
_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"
_CONTROLS, _BOOLEAN = 0xA0, 0x01
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3
_ID_SIZE = 16
_SCOPES = {"one": b"\x0a\x01\x01", "subtree": b"\x0a\x01\x02"}
_NEVER_DEREFERENCE, _NO_LIMITS, _WITH_VALUES = b"\x0a\x01\x00", b"\x02\x01\x00\x02\x01\x00", b"\x01\x01\x00"
_TRUE = b"\x01\x01\xff"

Values = dict[bytes, list[bytes]]


class SyncEntry(NamedTuple):
    """An entry or, with PRESENT and DELETE, only its name and id. `dn` is not checked to be UTF-8.

    Here as in all events, `cookie` None is one that was not sent.
    """

    message_id: int
    state: int
    entry_id: bytes
    cookie: bytes | None
    dn: bytes
    values: Values


class NewCookie(NamedTuple):
    """Nothing of ours has changed, but the cookie has."""

    message_id: int
    cookie: bytes


class RefreshDelete(NamedTuple):
    """The delete phase is over; with `done` also the refresh stage."""

    message_id: int
    cookie: bytes | None
    done: bool


class RefreshPresent(NamedTuple):
    """The present phase is over; with `done` also the refresh stage."""

    message_id: int
    cookie: bytes | None
    done: bool


class IdSet(NamedTuple):
    """Entries that are present unchanged or, with `deletes`, gone."""

    message_id: int
    cookie: bytes | None
    deletes: bool
    ids: list[bytes]


class SyncDone(NamedTuple):
    """The search is over, with a sync done control. Without one, a SearchResultDone is a plain Result."""

    message_id: int
    result: Result
    cookie: bytes | None
    refresh_deletes: bool


SyncEvent = SyncEntry | NewCookie | RefreshDelete | RefreshPresent | IdSet | SyncDone | FoundEntry | Result | Other
"""FoundEntry, Result and Other answer other operations on the same connection; a Result may also end the sync."""


# --- the request ---


def sync_request(
    message_id: int,
    base: str,
    scope: Literal["one", "subtree"],
    condition: Filter,
    attributes: Sequence[str],
    cookie: bytes,
    *,
    persist: bool = True,
) -> bytes:
    """A search without limits that tells what changed since `cookie` (empty: everything) and, with `persist`, goes on.

    `reloadHint` is true (RFC 4533 section 2.1): a server that cannot tell what changed sends everything in a present
    phase rather than refuse.
    """
    wanted = wrap(b"\x30", b"".join([octet_string(name.encode()) for name in attributes]))
    limits = _SCOPES[scope] + _NEVER_DEREFERENCE + _NO_LIMITS + _WITH_VALUES
    search = wrap(b"\x63", octet_string(base.encode()) + limits + condition.encode() + wanted)
    mode = b"\x0a\x01\x03" if persist else b"\x0a\x01\x01"
    value = wrap(b"\x30", mode + (octet_string(cookie) if cookie else b"") + _TRUE)
    control = wrap(b"\x30", octet_string(_REQUEST) + _TRUE + octet_string(value))
    return wrap(b"\x30", integer(message_id) + search + wrap(b"\xa0", control))


# --- the stream ---


class SyncStream(Stream[SyncEvent]):
    """What a server sends to one who follows it."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit, decode)


def decode(data: bytes, at: int, end: int) -> SyncEvent:
    """Decode the LDAPMessage whose content, behind tag and length, is `data[at:end]`. Raises BerError."""
    try:
        quick = _quick(data, at, end)
    except IndexError:  # something shorter than it should be: the ordinary way finds out what
        quick = None
    return _ordinary(data, at, end) if quick is None else quick


# --- the plainest form ---

_TAIL = b"\xa0\x35\x30\x33\x04\x18" + _STATE + b"\x04\x17\x30\x15\x0a\x01"
_made = tuple.__new__
_TAIL_SIZE = len(_TAIL) + 1 + 2 + _ID_SIZE
"""A sync state control without a cookie: up to its state, and all of it."""


def _quick(data: bytes, at: int, end: int) -> SyncEntry | None:
    """An entry whose only control is a sync state without a cookie, its values below 128 bytes.

    None, or an IndexError: it is something else. What lies between two positions that were compared for equality is
    what the lengths say, so nothing is read twice and nothing is believed.
    """
    stop = end - _TAIL_SIZE
    if data[stop : end - 19] != _TAIL or data[end - 18 : end - 16] != b"\x04\x10":
        return None
    start = at + 2
    at = start + data[at + 1]
    if data[start - 2] != 0x02 or not 0 < at - start <= 4 or data[start] > 127 or data[at] != 0x64:
        return None
    message_id = int.from_bytes(data[start:at], "big")
    at = _content(data, at + 1, stop)
    dn_start = at + 2
    dn_stop = dn_start + data[at + 1]
    if data[at] != 0x04 or data[at + 1] > 127 or data[dn_stop] != 0x30:
        return None
    at = _content(data, dn_stop + 1, stop)
    state = data[end - 19]
    if state > DELETE:
        return None
    values = attributes_of(data, at, stop)
    return _made(SyncEntry, (message_id, state, data[end - 16 : end], None, data[dn_start:dn_stop], values))


def _content(data: bytes, at: int, stop: int) -> int:
    """Where the content begins whose length is at `at`. IndexError unless it is what leads to `stop`, in short form."""
    start = at + 1 if data[at] < 129 else at + data[at] - 127
    if start > stop or data[at:start] != LENGTHS[stop - start]:
        raise IndexError
    return start


# --- the ordinary way ---


def _ordinary(data: bytes, at: int, end: int) -> SyncEvent:
    start, operation = expect(data, at, end, INTEGER)
    message_id = number(data, start, operation)
    if message_id < 0:
        raise BerError("a message's number is negative")
    tag, start, stop = element(data, operation, end)
    if tag == INTERMEDIATE_RESPONSE:
        info = _info(data, start, stop)
        return Other(message_id) if info is None else _EVENTS[info[0]](data, message_id, info[1], info[2])
    if tag == SEARCH_ENTRY and (value := _control(data, stop, end, _STATE)) is not None:
        return _entry(data, message_id, start, stop, value)
    if tag == SEARCH_DONE and (value := _control(data, stop, end, _DONE)) is not None:
        return _done(data, message_id, cast(Result, decode_plain(data, at, end)), value)
    return decode_plain(data, at, end)


def _entry(data: bytes, message_id: int, at: int, end: int, control: tuple[int, int]) -> SyncEntry:
    state, entry_id, cookie = _state(data, *control)
    start, at = expect(data, at, end, OCTET_STRING)
    dn = data[start:at]
    start, stop = expect(data, at, end, SEQUENCE)
    return SyncEntry(message_id, state, entry_id, cookie, dn, attributes_of(data, start, stop))


def _control(data: bytes, at: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """Start and end of the value of the message's control of this kind; None: it has none."""
    if at == end:
        return None
    at, end = expect(data, at, end, _CONTROLS)
    while at < end:
        start, at = expect(data, at, end, SEQUENCE)
        name, stop = expect(data, start, at, OCTET_STRING)
        if data[name:stop] == kind:
            if stop < at and data[stop] == _BOOLEAN:  # the criticality
                _, stop = expect(data, stop, at, _BOOLEAN)
            return expect(data, stop, at, OCTET_STRING)
    return None


def _state(data: bytes, at: int, end: int) -> tuple[int, bytes, bytes | None]:
    """State, id and cookie of a sync state control (RFC 4533 section 2.2)."""
    at, end = expect(data, at, end, SEQUENCE)
    start, at = expect(data, at, end, ENUMERATED)
    state = number(data, start, at)
    if not PRESENT <= state <= DELETE:
        raise BerError(f"an entry in the unknown state {state}")
    start, at = expect(data, at, end, OCTET_STRING)
    return state, _id(data, start, at), _cookie(data, at, end)[0]


def _done(data: bytes, message_id: int, result: Result, control: tuple[int, int]) -> SyncDone:
    """RFC 4533 section 2.3."""
    start, end = expect(data, *control, SEQUENCE)
    cookie, at = _cookie(data, start, end)
    return SyncDone(message_id, result, cookie, _flag(data, at, end, False)[0])


def _info(data: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Tag, start and end of a sync info message (RFC 4533 section 2.5); None: another intermediate response."""
    if at == end or data[at] != 0x80:
        return None
    start, at = expect(data, at, end, 0x80)
    if data[start:at] != _INFO:
        return None
    start, stop = expect(data, at, end, 0x81)
    tag, at, end = element(data, start, stop)
    if tag not in _EVENTS:
        raise BerError(f"a sync info message of the unknown kind {tag:#04x}")
    return tag, at, end


def _new_cookie(data: bytes, message_id: int, at: int, end: int) -> NewCookie:
    return NewCookie(message_id, data[at:end])


def _refresh_delete(data: bytes, message_id: int, at: int, end: int) -> RefreshDelete:
    cookie, at = _cookie(data, at, end)
    return RefreshDelete(message_id, cookie, _flag(data, at, end, True)[0])


def _refresh_present(data: bytes, message_id: int, at: int, end: int) -> RefreshPresent:
    cookie, at = _cookie(data, at, end)
    return RefreshPresent(message_id, cookie, _flag(data, at, end, True)[0])


def _id_set(data: bytes, message_id: int, at: int, end: int) -> IdSet:
    cookie, at = _cookie(data, at, end)
    deletes, at = _flag(data, at, end, False)
    at, end = expect(data, at, end, SET)
    ids = []
    while at < end:
        start, at = expect(data, at, end, OCTET_STRING)
        ids.append(_id(data, start, at))
    return IdSet(message_id, cookie, deletes, ids)


def _cookie(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    """The optional cookie at `at`, and what follows it."""
    if at == end or data[at] != OCTET_STRING:
        return None, at
    start, at = expect(data, at, end, OCTET_STRING)
    return data[start:at], at


def _flag(data: bytes, at: int, end: int, usual: bool) -> tuple[bool, int]:
    """The optional boolean at `at`, and what follows it."""
    if at == end or data[at] != _BOOLEAN:
        return usual, at
    start, at = expect(data, at, end, _BOOLEAN)
    return number(data, start, at) != 0, at


def _id(data: bytes, start: int, end: int) -> bytes:
    if end - start != _ID_SIZE:
        raise BerError("an entry's id has not 16 bytes")
    return data[start:end]


_EVENTS: dict[int, Callable[[bytes, int, int, int], SyncEvent]] = {
    _NEW_COOKIE: _new_cookie,
    _REFRESH_DELETE: _refresh_delete,
    _REFRESH_PRESENT: _refresh_present,
    _ID_SET: _id_set,
}
