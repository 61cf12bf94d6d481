"""Content synchronisation on the wire: as ldap3 has it, and no bytes end in anything but events or BerError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import search_operation
from ldap3.protocol import rfc4511
from ldap3.protocol.rfc4511 import LDAPMessage
from ldap3.utils.asn1 import decode_message_fast, decoder

from ldapmap.client.ber import BerError, integer, octet_string, wrap
from ldapmap.client.filters import parse_filter
from ldapmap.client.messages import FoundEntry, Other, Result
from ldapmap.mirror import syncrepl
from ldapmap.mirror.syncrepl import (
    ADD,
    DELETE,
    MODIFY,
    IdSet,
    NewCookie,
    RefreshDelete,
    RefreshPresent,
    SyncDone,
    SyncEntry,
    SyncEvent,
    SyncStream,
    decode,
    sync_request,
)
from tests.ldapmap import oracle

REQUEST, STATE, DONE, INFO = (f"1.3.6.1.4.1.4203.1.9.1.{number}" for number in (1, 2, 3, 4))
ID = bytes(range(16))
LIMIT = 1 << 20


def only(data: bytes) -> SyncEvent:
    [event] = SyncStream(LIMIT).feed(data)
    return event


def state_control(state: int, entry_id: bytes = ID, cookie: bytes | None = None) -> tuple[str, bool, bytes]:
    value = integer(state, b"\x0a") + octet_string(entry_id) + (b"" if cookie is None else octet_string(cookie))
    return STATE, False, wrap(b"\x30", value)


def entry(
    dn: str,
    attributes: dict[str, list[bytes]],
    *controls: tuple[str, bool, bytes],
    message_id: int = 2,
) -> bytes:
    response = rfc4511.SearchResultEntry()
    plain = oracle.search_entry(message_id, dn, attributes)
    response = decoder.decode(plain, asn1Spec=LDAPMessage())[0]["protocolOp"]["searchResEntry"]
    return oracle.message(message_id, "searchResEntry", response, controls)


def info(content: bytes, name: str = INFO, message_id: int = 2) -> bytes:
    response = wrap(b"\x80", name.encode()) + wrap(b"\x81", content)
    return wrap(b"\x30", integer(message_id) + wrap(b"\x79", response))


CAPTURED = (
    b"0\x81\xbe\x02\x01\x02d\x81\x81\x04*uid=user000000,ou=people,dc=example,dc=org0S0\x13\x04\x03uid1\x0c\x04\nuser00"
    b"00000!\x04\x04mail1\x19\x04\x17user000000@example.test0\x19\x04\x08mailHost1\r\x04\x0bmb0.example\xa0503\x04\x181"
    b".3.6.1.4.1.4203.1.9.1.2\x04\x170\x15\n\x01\x01\x04\x1034\xcdTy\xb6\x10A\x91f\x11\xc8Q\x1b\xefT"
)
"""What slapd 2.5 sends for an entry."""


# --- the request ---


@pytest.mark.parametrize("persist", [True, False])
@pytest.mark.parametrize("cookie", [b"", b"rid=000,csn=x"])
@pytest.mark.parametrize("scope", ["one", "subtree"])
def test_a_request_is_encoded_as_ldap3_does(scope: str, cookie: bytes, persist: bool) -> None:
    scopes = {"one": "LEVEL", "subtree": "SUBTREE"}
    request = search_operation(
        "dc=x", "(uid=*)", scopes[scope], "NEVER", ["uid"], 0, 0, False, auto_escape=False, auto_encode=False
    )
    value = wrap(b"\x30", integer(3 if persist else 1, b"\x0a") + (cookie and octet_string(cookie)) + b"\x01\x01\xff")
    expected = oracle.message(7, "searchRequest", request, [(REQUEST, True, value)])
    built = sync_request(7, "dc=x", scope, parse_filter("(uid=*)"), ("uid",), cookie, persist=persist)  # type: ignore[arg-type]
    # ldap3 writes TRUE as 1; DER, and we, as 255
    assert built.replace(b"\x01\x01\xff", b"\x01\x01\x01") == expected.replace(b"\x01\x01\xff", b"\x01\x01\x01")


# --- entries ---


def test_what_slapd_sends_is_understood() -> None:
    assert only(CAPTURED) == SyncEntry(
        2,
        ADD,
        CAPTURED[-16:],
        None,
        b"uid=user000000,ou=people,dc=example,dc=org",
        {b"uid": [b"user000000"], b"mail": [b"user000000@example.test"], b"mailhost": [b"mb0.example"]},
    )


ATTRIBUTES = st.dictionaries(
    st.from_regex(r"[A-Za-z]{1,9}", fullmatch=True), st.lists(st.binary(max_size=200), max_size=3), max_size=4
)


@given(
    st.integers(1, 2**31 - 1),
    st.text(max_size=150),
    ATTRIBUTES,
    st.integers(0, 3),
    st.binary(min_size=16, max_size=16),
    st.none() | st.binary(max_size=20),
)
def test_an_entry_is_read_as_ldap3_reads_it(
    message_id: int, dn: str, attributes: dict[str, list[bytes]], state: int, entry_id: bytes, cookie: bytes | None
) -> None:
    data = entry(dn, attributes, state_control(state, entry_id, cookie), message_id=message_id)
    event = only(data)
    assert isinstance(event, SyncEntry)
    assert event[:5] == (message_id, state, entry_id, cookie, dn.encode())
    payload = decode_message_fast(data)["payload"]
    assert bytes(payload[0][3]) == event.dn
    expected: dict[bytes, list[bytes]] = {}
    for attribute in payload[1][3]:
        name, values = (part[3] for part in attribute[3])
        expected.setdefault(bytes(name).lower(), []).extend(bytes(value[3]) for value in values)
    assert event.values == expected


def test_other_controls_beside_the_state_do_not_matter() -> None:
    event = only(entry("dc=x", {}, ("1.2.3", True, b"x"), (STATE, True, state_control(DELETE)[2])))
    assert event == SyncEntry(2, DELETE, ID, None, b"dc=x", {})


def test_an_attribute_that_comes_twice_has_the_values_of_both() -> None:
    one = wrap(b"\x30", octet_string(b"Mail") + wrap(b"\x31", octet_string(b"a")))
    two = wrap(b"\x30", octet_string(b"mail") + wrap(b"\x31", octet_string(b"b")))
    control = wrap(b"\xa0", wrap(b"\x30", octet_string(STATE.encode()) + octet_string(state_control(MODIFY)[2])))
    found = wrap(b"\x64", octet_string(b"dc=x") + wrap(b"\x30", one + two))
    event = only(wrap(b"\x30", integer(2) + found + control))
    assert isinstance(event, SyncEntry)
    assert event.values == {b"mail": [b"a", b"b"]}


def test_an_entry_without_a_state_answers_another_search() -> None:
    assert only(entry("dc=x", {"o": [b"x"]})) == FoundEntry(2, "dc=x", {b"o": [b"x"]})
    assert isinstance(only(entry("dc=x", {}, ("1.2.3", False, b"x"))), FoundEntry)


# --- sync info messages ---


@pytest.mark.parametrize(
    ("content", "event"),
    [
        (wrap(b"\x80", b"new"), NewCookie(2, b"new")),
        (wrap(b"\xa1", b""), RefreshDelete(2, None, True)),
        (wrap(b"\xa1", octet_string(b"c") + b"\x01\x01\x00"), RefreshDelete(2, b"c", False)),
        (wrap(b"\xa2", b"\x01\x01\xff"), RefreshPresent(2, None, True)),
        (wrap(b"\xa2", octet_string(b"")), RefreshPresent(2, b"", True)),
        (wrap(b"\xa3", wrap(b"\x31", octet_string(ID) * 2)), IdSet(2, None, False, [ID, ID])),
        (wrap(b"\xa3", octet_string(b"c") + b"\x01\x01\xff" + wrap(b"\x31", b"")), IdSet(2, b"c", True, [])),
    ],
)
def test_a_sync_info_message_is_understood(content: bytes, event: SyncEvent) -> None:
    data = info(content)
    assert only(data) == event
    payload = decode_message_fast(data)["payload"]
    assert bytes(payload[1][3]) == content


def test_another_intermediate_response_is_of_no_use() -> None:
    assert only(info(b"", "1.2.3")) == Other(2)
    assert only(wrap(b"\x30", integer(2) + wrap(b"\x79", b""))) == Other(2)
    assert only(wrap(b"\x30", integer(2) + wrap(b"\x79", wrap(b"\x81", b"x")))) == Other(2)


# --- the end ---


def test_the_end_of_a_sync_has_its_control() -> None:
    value = wrap(b"\x30", octet_string(b"c") + b"\x01\x01\xff")
    data = oracle.result(2, "searchResDone", 0, controls=[(DONE, False, value)])
    assert only(data) == SyncDone(2, Result(2, 0x65, 0, "", None), b"c", True)
    empty = oracle.result(2, "searchResDone", 4096, "x", controls=[(DONE, False, wrap(b"\x30", b""))])
    assert only(empty) == SyncDone(2, Result(2, 0x65, 4096, "x", None), None, False)


def test_other_results_are_plain_ones() -> None:
    assert only(oracle.result(2, "searchResDone", 53, "no")) == Result(2, 0x65, 53, "no", None)
    assert only(oracle.result(2, "bindResponse", 0)) == Result(2, 0x61, 0, "", None)


# --- what is refused ---


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (entry("dc=x", {}, state_control(4)), "unknown state"),
        (entry("dc=x", {}, state_control(0, ID[:15])), "16 bytes"),
        (entry("dc=x", {}, state_control(0, ID + b"x", b"c")), "16 bytes"),
        (info(wrap(b"\xa4", b"")), "unknown kind"),
        (info(wrap(b"\xa3", wrap(b"\x31", octet_string(b"short")))), "16 bytes"),
        (b"\x31\x00", "begins with"),
        (b"\x30\x80", "indefinite"),
        (b"\x30\x84\x7f\xff\xff\xff", "longer than"),
    ],
)
def test_what_cannot_be_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BerError, match=problem):
        SyncStream(LIMIT).feed(data)


def plain(attributes: bytes, *, head: bytes = b"\x02\x01\x02", dn: bytes = b"\x04\x01x", tail: int = ADD) -> bytes:
    """An entry in the plainest form but for one thing."""
    control = wrap(b"\xa0", wrap(b"\x30", octet_string(STATE.encode()) + octet_string(state_control(tail)[2])))
    return wrap(b"\x30", head + wrap(b"\x64", dn + attributes) + control)


@pytest.mark.parametrize(
    "data",
    [
        plain(b"\x30\x80"),
        plain(b"\x30\x85\x00\x00\x00\x00\x00"),
        plain(b"\x30\x02\x30\x05"),
        plain(b"\x30\x09\x30\x07\x04\x01a\x31\x02\x04\x01"),
        plain(b"\x31\x00"),
        plain(b"\x30\x00", head=b"\x02\x00"),
        plain(b"\x30\x00", head=b"\x02\x01\xff"),
        plain(b"\x30\x00", head=b"\x02\x05\x00\x00\x00\x00\x01"),
        plain(b"\x30\x00", head=b"\x04\x01\x02"),
        plain(b"\x30\x00", dn=b"\x05\x00"),
        plain(b"\x30\x00", tail=9),
        plain(b"", dn=b"\x04\x7f"),
    ],
)
def test_the_quick_way_takes_nothing_that_the_ordinary_way_refuses(data: bytes) -> None:
    with pytest.raises(BerError):
        SyncStream(LIMIT).feed(data)


def test_a_stretched_length_is_read_the_ordinary_way() -> None:
    stretched = b"\x30\x84\x00\x00\x00\x0b\x30\x09\x04\x01a\x31\x84\x00\x00\x00\x00"
    event = only(plain(stretched))
    assert isinstance(event, SyncEntry)
    assert event.values == {b"a": []}


def test_trailing_bytes_in_an_entry_are_read_alike() -> None:
    event = only(plain(b"\x30\x00\x04\x00"))
    assert isinstance(event, SyncEntry)
    assert event.values == {}


# --- the stream ---

STREAM = CAPTURED + info(wrap(b"\xa1", octet_string(b"c"))) + entry("dc=x", {"o": [b"y" * 300]}, state_control(MODIFY))


@pytest.mark.parametrize("size", [1, 3, 100, len(STREAM)])
def test_messages_may_come_in_any_pieces(size: int) -> None:
    stream = SyncStream(LIMIT)
    events = [event for at in range(0, len(STREAM), size) for event in stream.feed(STREAM[at : at + size])]
    assert [type(event) for event in events] == [SyncEntry, RefreshDelete, SyncEntry]
    assert stream.empty


def test_an_unfinished_message_is_kept() -> None:
    stream = SyncStream(LIMIT)
    assert stream.feed(CAPTURED[:-1]) == []
    assert not stream.empty


def ends(work: Callable[[], object]) -> bool:
    """It returns or raises BerError; anything else is the test's failure."""
    try:
        work()
    except BerError:
        return False
    return True


@given(st.binary(max_size=200))
def test_any_bytes_end_in_events_or_in_a_refusal(data: bytes) -> None:
    ends(lambda: SyncStream(LIMIT).feed(data))
    ends(lambda: decode(data, 0, len(data)))


@given(st.lists(st.tuples(st.integers(3, len(CAPTURED) - 1), st.integers(0, 255)), min_size=1, max_size=2))
def test_any_damage_is_taken_alike_by_both_ways(damage: list[tuple[int, int]]) -> None:
    data = bytearray(CAPTURED)
    for at, value in damage:
        data[at] = value
    try:
        expected: SyncEvent | None = syncrepl._ordinary(bytes(data), 3, len(data))
    except BerError:
        expected = None
    with contextlib.suppress(BerError):
        assert decode(bytes(data), 3, len(data)) == expected


@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), max_size=4), st.integers(1, 400))
def test_a_damaged_stream_ends_in_events_or_in_a_refusal(damage: list[tuple[int, int]], size: int) -> None:
    data = bytearray(STREAM)
    for at, value in damage:
        data[at] = value
    stream = SyncStream(LIMIT)
    ends(lambda: [stream.feed(bytes(data[at : at + size])) for at in range(0, len(data), size)])
