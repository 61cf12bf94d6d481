"""LDAP messages as bytes (RFC 4511): the requests we send and the responses we understand. No I/O.

Requests of the hot path are assembled from prepared pieces. Values never become part of a text on the way: a search key
and a password are length-counted octets, so there is nothing to inject into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

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
    text,
    wrap,
)
from ldapmap.client.filters import Filter, Present
from ldapmap.client.stream import Stream

LARGEST_ID = 2**31 - 1
SIZE_LIMIT = 2
"""Two entries are enough to know that a name is ambiguous."""

BIND_RESPONSE, SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE = 0x61, 0x64, 0x65, 0x73
EXTENDED_RESPONSE, INTERMEDIATE_RESPONSE = 0x78, 0x79

_START_TLS = b"1.3.6.1.4.1.1466.20037"
_PASSWORD_POLICY = b"1.3.6.1.4.1.42.2.27.8.5.1"
_POLICY_REQUEST = wrap(b"\xa0", wrap(b"\x30", octet_string(_PASSWORD_POLICY)))
_SCOPES = {"base": 0, "one": 1, "subtree": 2}
_NEVER_DEREFERENCE = 0
_CONTROLS = 0xA0
_USUAL_SIZE = 256  # bytes; searches for names that are shorter are kept encoded
_made = tuple.__new__  # a named tuple, without the call between
_POLICY_WARNING, _POLICY_ERROR = 0xA0, 0x81


class FoundEntry(NamedTuple):
    """SearchResultEntry. Attribute names are lower-cased; those with options (`;lang-de`) keep them in the name."""

    message_id: int
    dn: str
    attributes: dict[bytes, list[bytes]]


class Result(NamedTuple):
    """What ends an operation. `policy_error` is the error of a password-policy response control, if there was one."""

    message_id: int
    kind: int
    code: int
    diagnostic: str
    policy_error: int | None


class Other(NamedTuple):
    """A search reference or an intermediate response: valid, and of no use to us."""

    message_id: int


Response = FoundEntry | Result | Other


# --- requests ---


class SearchTemplate:
    """A search for some value of any of `names` below `base`, encoded but for the value.

    It returns at most `SIZE_LIMIT` entries, follows no alias, and asks for `attributes` only. An `extra` filter has to
    match as well; `(objectClass=*)`, which matches every entry, is left out.
    """

    def __init__(
        self,
        base: str,
        scope: Literal["one", "subtree"],
        names: Sequence[str],
        extra: Filter | None,
        attributes: Sequence[str],
    ) -> None:
        self._head = search_head(base, scope, SIZE_LIMIT)
        self._extra = b"" if extra is None or extra == Present(b"objectClass") else extra.encode()
        self._names = [octet_string(name.encode()) for name in names]
        self._attributes = _attribute_list(attributes)
        self._pieces: dict[int, list[bytes]] = {}

    def encode(self, message_id: int, value: bytes) -> bytes:
        size = len(value)
        return _message(message_id, value.join(self._pieces.get(size) or self._cut(size)))

    def _cut(self, size: int) -> list[bytes]:
        """What stands around values of this many bytes: in front of the first, between them, behind the last."""
        asserted = b"\x04" + LENGTHS[size]
        pieces = [b"\xa3" + LENGTHS[len(name + asserted) + size] + name + asserted for name in self._names]
        head, length = b"", sum(map(len, pieces)) + size * len(pieces)
        if len(pieces) > 1:
            head = b"\xa1" + LENGTHS[length]
        if self._extra:
            head = b"\xa0" + LENGTHS[len(self._extra + head) + length] + self._extra + head
        head = self._head + head
        pieces[0] = b"\x63" + LENGTHS[len(head) + length + len(self._attributes)] + head + pieces[0]
        pieces.append(self._attributes)
        if size < _USUAL_SIZE:
            self._pieces[size] = pieces
        return pieces


class BaseProbe:
    """A search that reads nothing of the entry `base`: the cheapest question that only a working server answers."""

    def __init__(self, base: str) -> None:
        any_entry = Present(b"objectClass").encode()
        self._request = wrap(b"\x63", search_head(base, "base", 1) + any_entry + _attribute_list(["1.1"]))

    def encode(self, message_id: int, value: bytes) -> bytes:
        return _message(message_id, self._request)


def bind_request(message_id: int, dn: bytes, password: bytes) -> bytes:
    """A simple bind that asks for password-policy information. The caller has refused an empty DN or password."""
    content = b"\x02\x01\x03\x04" + LENGTHS[len(dn)] + dn + b"\x80" + LENGTHS[len(password)] + password
    return _message(message_id, b"\x60" + LENGTHS[len(content)] + content + _POLICY_REQUEST)


def start_tls_request(message_id: int) -> bytes:
    return _message(message_id, wrap(b"\x77", wrap(b"\x80", _START_TLS)))


def abandon_request(message_id: int, abandoned_id: int) -> bytes:
    return _message(message_id, integer(abandoned_id, b"\x50"))


def unbind_request(message_id: int) -> bytes:
    return _message(message_id, b"\x42\x00")


def _message(message_id: int, content: bytes) -> bytes:
    content = integer(message_id) + content
    return b"\x30" + LENGTHS[len(content)] + content


def search_head(base: str, scope: Literal["base", "one", "subtree"], size_limit: int) -> bytes:
    """The parts of a SearchRequest before the filter; `size_limit` 0: as many entries as there are."""
    enumerated = b"\x0a"
    return (
        octet_string(base.encode())
        + integer(_SCOPES[scope], enumerated)
        + integer(_NEVER_DEREFERENCE, enumerated)
        + integer(size_limit)
        + integer(0)  # no time limit at the server: the deadline is ours
        + b"\x01\x01\x00"  # values, not only types
    )


def _attribute_list(names: Sequence[str]) -> bytes:
    return wrap(b"\x30", b"".join(octet_string(name.encode()) for name in names))


# --- responses ---


class Responses(Stream[Response]):
    """The responses of a server. `read` takes the place of `decode` where more is wanted of a message."""

    def __init__(self, limit: int, read: Callable[[bytes, int, int], Response] | None = None) -> None:
        super().__init__(limit, read or decode)


def decode(data: bytes, at: int, end: int) -> Response:
    """Decode the LDAPMessage whose content, behind tag and length, is `data[at:end]`. Raises BerError."""
    if end - at > 6 and data[at] == INTEGER and 0 < data[at + 1] < 5 and data[at + 2] < 128:  # as all numbers are
        start, at = at + 2, at + 2 + data[at + 1]
        message_id = int.from_bytes(data[start:at], "big")
    else:
        start, at = expect(data, at, end, INTEGER)
        message_id = number(data, start, at)
        if message_id < 0:
            raise BerError("a message's number is negative")
    if end - at == _PLAIN_SIZE and data[at:end] in _PLAIN_SUCCESS:
        return _made(Result, (message_id, data[at], 0, "", None))
    kind = data[at] if at < end else 0
    if kind not in _READERS:
        raise BerError(f"a message of the unknown kind {kind:#04x}")
    start, stop = expect(data, at, end, kind)
    return _READERS[kind](data, message_id, start, stop, end)


def _entry(data: bytes, message_id: int, at: int, end: int, _message_end: int) -> FoundEntry:
    start, at = expect(data, at, end, OCTET_STRING)
    dn = text(data, start, at)
    start, stop = expect(data, at, end, SEQUENCE)
    return _made(FoundEntry, (message_id, dn, attributes_of(data, start, stop)))


def attributes_of(data: bytes, at: int, end: int) -> dict[bytes, list[bytes]]:
    """The lower-case names and the values of the attributes in `data[at:end]`. Raises BerError.

    One with a single value is compared at once, as nearly all are so: what lies between two positions that were
    compared for equality is what the lengths say, so nothing is believed. Whatever differs is read step by step.
    """
    values: dict[bytes, list[bytes]] = {}
    while at < end:
        try:
            name_end = at + 4 + data[at + 3]
            value = name_end + 4
            stop = value + data[name_end + 3]
            if (
                stop > end
                or stop != at + 2 + data[at + 1]
                or stop != name_end + 2 + data[name_end + 1]
                or stop - at > 129
                or data[at] != SEQUENCE
                or data[at + 2] != OCTET_STRING
                or data[name_end] != SET
                or data[name_end + 2] != OCTET_STRING
                or (name := data[at + 4 : name_end].lower()) in values
            ):
                stop = _attribute(data, at, end, values)
            else:
                values[name] = [data[value:stop]]
        except IndexError:
            stop = _attribute(data, at, end, values)
        at = stop
    return values


def _attribute(data: bytes, at: int, end: int, values: dict[bytes, list[bytes]]) -> int:
    """Add the values of the attribute at `at`; where it ends."""
    start, end = expect(data, at, end, SEQUENCE)
    start, at = expect(data, start, end, OCTET_STRING)
    found = values.setdefault(data[start:at].lower(), [])
    at, stop = expect(data, at, end, SET)
    while at < stop:
        start, at = expect(data, at, stop, OCTET_STRING)
        found.append(data[start:at])
    return end


def _result_of(kind: int) -> _Reader:
    def result(data: bytes, message_id: int, at: int, end: int, message_end: int) -> Result:
        start, at = expect(data, at, end, ENUMERATED)
        code = number(data, start, at)
        _, at = expect(data, at, end, OCTET_STRING)  # matchedDN
        start, stop = expect(data, at, end, OCTET_STRING)
        diagnostic = data[start:stop].decode("utf-8", "replace")  # informs only, so it need not be correct
        policy_error = _policy_error(data, end, message_end) if end < message_end else None
        return Result(message_id, kind, code, diagnostic, policy_error)

    return result


def _other(data: bytes, message_id: int, at: int, end: int, _message_end: int) -> Other:
    return Other(message_id)


def _policy_error(data: bytes, at: int, end: int) -> int | None:
    """The error of the password-policy control (draft-behera-ldap-password-policy-10 section 6.2), if it is there."""
    at, end = expect(data, at, end, _CONTROLS)
    while at < end:
        control, at = expect(data, at, end, SEQUENCE)
        start, control = expect(data, control, at, OCTET_STRING)
        if data[start:control] == _PASSWORD_POLICY:
            return _policy_value(data, control, at)
    return None


def _policy_value(data: bytes, at: int, end: int) -> int | None:
    tag, start, stop = element(data, at, end)
    if tag != OCTET_STRING:  # the criticality stands before the value
        start, stop = expect(data, stop, end, OCTET_STRING)
    at, end = expect(data, start, stop, SEQUENCE)
    while at < end:
        tag, start, at = element(data, at, end)
        if tag == _POLICY_ERROR:
            return number(data, start, at)
        if tag != _POLICY_WARNING:
            raise BerError("a password-policy response has an unknown part")
    return None


_PLAIN_SUCCESS = frozenset(
    bytes((kind,)) + b"\x07\x0a\x01\x00\x04\x00\x04\x00" for kind in (SEARCH_DONE, BIND_RESPONSE, EXTENDED_RESPONSE)
)
_PLAIN_SIZE = 9
"""Success without a further word, which is most results: recognised as a whole, with the same outcome as when read."""

_Reader = Callable[[bytes, int, int, int, int], Response]
_READERS: dict[int, _Reader] = {
    SEARCH_ENTRY: _entry,
    SEARCH_REFERENCE: _other,
    INTERMEDIATE_RESPONSE: _other,
    SEARCH_DONE: _result_of(SEARCH_DONE),
    BIND_RESPONSE: _result_of(BIND_RESPONSE),
    EXTENDED_RESPONSE: _result_of(EXTENDED_RESPONSE),
}
