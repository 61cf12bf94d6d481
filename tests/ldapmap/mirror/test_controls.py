"""Controls: requests as ldap3 encodes them, and any answer ends in values or BerError."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.protocol.microsoft import dir_sync_control, show_deleted_control
from ldap3.protocol.rfc2696 import paged_search_control

from ldapmap.client.ber import BerError, element, integer, octet_string, wrap
from ldapmap.client.filters import parse_filter
from ldapmap.client.messages import FoundEntry, Result
from ldapmap.mirror.controls import (
    DIRSYNC,
    PAGED_RESULTS,
    SHOW_DELETED,
    ControlledDecoder,
    Controls,
    Question,
    dirsync,
    next_changes,
    next_page,
    paged_results,
    search_request,
    show_deleted,
)
from tests.ldapmap import oracle

COOKIES = st.binary(max_size=200)


def value_of(control: Any) -> bytes:
    """What ldap3 puts into a control, whose other fields its own encoder writes."""
    return bytes(control["controlValue"])


@given(st.integers(1, 2**31 - 1), st.integers(1, 5000), COOKIES, st.sampled_from(["base", "one", "subtree"]))
def test_a_search_for_a_page_is_encoded_as_ldap3_does(message_id: int, size: int, cookie: bytes, scope: Any) -> None:
    condition = "(&(objectClass=user)(!(cn=x*)))"
    question = Question("dc=example", scope, parse_filter(condition), ("cn", "mail"))
    ours = search_request(message_id, question, [paged_results(size, cookie)])
    value = value_of(paged_search_control(True, size, cookie))
    theirs = _theirs(message_id, scope, condition, (PAGED_RESULTS.decode(), True, value))
    assert ours == theirs


def _theirs(message_id: int, scope: str, condition: str, *controls: tuple[str, bool, bytes | None]) -> bytes:
    plain = oracle.search_request(message_id, "dc=example", scope, condition, ("cn", "mail"), 0)
    (_, start, end), empty = element(plain, 0, len(plain)), oracle.result(1, "searchResDone", 0)
    listed = oracle.result(1, "searchResDone", 0, controls=controls)  # type: ignore[arg-type]
    _, begin, stop = element(listed, 0, len(listed))
    _, least, most = element(empty, 0, len(empty))
    return wrap(b"\x30", plain[start:end] + listed[begin + most - least : stop])


def test_deleted_entries_are_asked_for_as_ldap3_does() -> None:
    question = Question("dc=example", "subtree", parse_filter("(cn=x)"), ("cn", "mail"))
    theirs = _theirs(7, "subtree", "(cn=x)", (SHOW_DELETED.decode(), True, None))
    assert search_request(7, question, [show_deleted()]) == theirs
    assert show_deleted_control(True) is not None


@given(st.integers(0, 2**31 - 1), COOKIES)
def test_changes_are_asked_for_as_ldap3_does(size: int, cookie: bytes) -> None:
    value = value_of(dir_sync_control(True, False, False, False, False, size, cookie))
    assert dirsync(size, cookie) == wrap(b"\x30", octet_string(DIRSYNC) + b"\x01\x01\xff" + octet_string(value))


def test_a_search_without_controls_has_none() -> None:
    question = Question("dc=example", "one", parse_filter("(cn=x)"), ("cn", "mail"))
    assert search_request(7, question) == _theirs(7, "one", "(cn=x)")


# --- answers ---


def decoded(data: bytes) -> tuple[Any, Controls]:
    decoder = ControlledDecoder()
    _, start, end = element(data, 0, len(data))
    return decoder(data, start, end), decoder.controls


@given(COOKIES, st.booleans())
def test_the_controls_of_a_result_are_found_by_their_names(cookie: bytes, critical: bool) -> None:
    value = wrap(b"\x30", integer(0) + octet_string(cookie))
    controls = [(SHOW_DELETED.decode(), critical, b""), (PAGED_RESULTS.decode(), critical, value)]
    result, found = decoded(oracle.result(9, "searchResDone", 4, "too many", controls=controls))
    assert result == Result(9, 0x65, 4, "too many", None)
    assert found == {SHOW_DELETED: b"", PAGED_RESULTS: value}
    assert next_page(value) == cookie


def test_a_control_may_have_no_value_at_all() -> None:
    bare = wrap(b"\xa0", wrap(b"\x30", octet_string(SHOW_DELETED)))
    plain = b"\x02\x01\x01" + wrap(b"\x65", b"\x0a\x01\x00\x04\x00\x04\x00")
    assert decoded(wrap(b"\x30", plain + bare))[1] == {SHOW_DELETED: b""}
    assert decoded(wrap(b"\x30", plain))[1] == {}


def test_the_controls_of_an_earlier_result_are_forgotten_but_an_entry_leaves_them() -> None:
    decoder = ControlledDecoder()
    messages = [
        oracle.result(1, "searchResDone", 0, controls=[(SHOW_DELETED.decode(), False, b"x")]),
        oracle.search_entry(2, "cn=x", {"cn": [b"x"]}),
        oracle.result(2, "searchResDone", 0),
    ]
    seen = []
    for data in messages:
        _, start, end = element(data, 0, len(data))
        seen.append((type(decoder(data, start, end)), dict(decoder.controls)))
    assert seen == [(Result, {SHOW_DELETED: b"x"}), (FoundEntry, {SHOW_DELETED: b"x"}), (Result, {})]


def test_a_control_with_an_unknown_part_is_garbage() -> None:
    strange = wrap(b"\xa0", wrap(b"\x30", octet_string(SHOW_DELETED) + b"\x02\x01\x01"))
    with pytest.raises(BerError, match="unknown part"):
        decoded(wrap(b"\x30", b"\x02\x01\x01" + wrap(b"\x65", b"\x0a\x01\x00\x04\x00\x04\x00") + strange))


@given(st.booleans(), COOKIES)
def test_a_dirsync_answer_says_whether_there_is_more(more: bool, cookie: bytes) -> None:
    assert next_changes(wrap(b"\x30", integer(int(more)) + integer(0) + octet_string(cookie))) == (more, cookie)


@given(st.binary(max_size=60))
def test_whatever_a_control_holds_ends_in_values_or_in_ber_error(value: bytes) -> None:
    for read in (next_page, next_changes):
        try:
            read(value)
        except BerError:
            continue


@given(st.binary(max_size=60))
def test_whatever_follows_a_result_ends_in_values_or_in_ber_error(rest: bytes) -> None:
    try:
        decoded(wrap(b"\x30", b"\x02\x01\x01" + wrap(b"\x65", b"\x0a\x01\x00\x04\x00\x04\x00") + rest))
    except BerError:
        return
