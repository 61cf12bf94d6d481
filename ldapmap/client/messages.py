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

    def encode(self, message_id: int, value: bytes) -> bytes:
        asserted = wrap(b"\x04", value)
        condition = b"".join([wrap(b"\xa3", name + asserted) for name in self._names])
        if len(self._names) > 1:
            condition = wrap(b"\xa1", condition)
        if self._extra:
            condition = wrap(b"\xa0", self._extra + condition)
        operation = wrap(b"\x63", self._head + condition + self._attributes)
        return wrap(b"\x30", integer(message_id) + operation)


class BaseProbe:
    """A search that reads nothing of the entry `base`: the cheapest question that only a working server answers."""

    def __init__(self, base: str) -> None:
        any_entry = Present(b"objectClass").encode()
        self._request = wrap(b"\x63", search_head(base, "base", 1) + any_entry + _attribute_list(["1.1"]))

    def encode(self, message_id: int, value: bytes) -> bytes:
        return _message(message_id, self._request)


def bind_request(message_id: int, dn: bytes, password: bytes) -> bytes:
    """A simple bind that asks for password-policy information. The caller has refused an empty DN or password."""
    content = b"\x02\x01\x03" + octet_string(dn) + wrap(b"\x80", password)
    return _message(message_id, wrap(b"\x60", content) + _POLICY_REQUEST)


def start_tls_request(message_id: int) -> bytes:
    return _message(message_id, wrap(b"\x77", wrap(b"\x80", _START_TLS)))


def abandon_request(message_id: int, abandoned_id: int) -> bytes:
    return _message(message_id, integer(abandoned_id, b"\x50"))


def unbind_request(message_id: int) -> bytes:
    return _message(message_id, b"\x42\x00")


def _message(message_id: int, content: bytes) -> bytes:
    return wrap(b"\x30", integer(message_id) + content)


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
    start, at = expect(data, at, end, INTEGER)
    message_id = number(data, start, at)
    if message_id < 0:
        raise BerError("a message's number is negative")
    if end - at == _PLAIN_SIZE and data[at:end] in _PLAIN_SUCCESS:
        return Result(message_id, data[at], 0, "", None)
    kind = data[at] if at < end else 0
    read = _READERS.get(kind)
    if read is None:
        raise BerError(f"a message of the unknown kind {kind:#04x}")
    start, at = expect(data, at, end, kind)
    return read(data, message_id, start, at, end)


def _entry(data: bytes, message_id: int, at: int, end: int, _message_end: int) -> FoundEntry:
    start, at = expect(data, at, end, OCTET_STRING)
    dn = text(data, start, at)
    attributes: dict[bytes, list[bytes]] = {}
    at, end = expect(data, at, end, SEQUENCE)
    while at < end:
        attribute, at = expect(data, at, end, SEQUENCE)
        start, stop = expect(data, attribute, at, OCTET_STRING)
        values = attributes.setdefault(data[start:stop].lower(), [])
        value, stop = expect(data, stop, at, SET)
        while value < stop:
            start, value = expect(data, value, stop, OCTET_STRING)
            values.append(data[start:value])
    return FoundEntry(message_id, dn, attributes)


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
