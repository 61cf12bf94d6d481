"""Messages: the same bytes out as ldap3's, the same values in, and only BerError for whatever else arrives."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import raw_attributes_to_dict_fast
from ldap3.utils.asn1 import decode_message_fast, ldap_result_to_dict_fast
from ldap3.utils.conv import escape_bytes

from ldapmap.client.ber import (
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    BerError,
    expect,
    integer,
    number,
    octet_string,
    text,
    wrap,
)
from ldapmap.client.filters import parse_filter
from ldapmap.client.messages import (
    BIND_RESPONSE,
    EXTENDED_RESPONSE,
    LARGEST_ID,
    SEARCH_DONE,
    SEARCH_ENTRY,
    BaseProbe,
    FoundEntry,
    Other,
    Response,
    Responses,
    Result,
    SearchTemplate,
    abandon_request,
    bind_request,
    decode,
    start_tls_request,
    unbind_request,
)
from tests.ldapmap import oracle

IDS = st.integers(1, LARGEST_ID)
DNS = st.text(st.characters(codec="utf-8"), max_size=200)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}(;x-[a-z]{1,5})?", fullmatch=True)
LIMIT = 4096

INJECTIONS = [
    b"*",
    b")(uid=*",
    b"alice)(|(uid=*",
    b"\\2a",
    b"a\0b",
    b"\\00",
    b" lead",
    b"trail ",
    b'# , + " \\ < > ; =',
    b"\xff\xfe",
    "ａｌｉｃｅ".encode(),
    b"x" * 300,
]


def read(data: bytes) -> Response:
    (response,) = Responses(1 << 24).feed(data)
    return response


# --- requests ---


@given(IDS, st.binary(min_size=1, max_size=300), st.sampled_from(["one", "subtree"]))
def test_a_search_is_encoded_as_ldap3_does(message_id: int, value: bytes, scope: Any) -> None:
    template = SearchTemplate("ou=people,dc=example", scope, ["uid"], None, ["uid", "mailHost"])
    condition = f"(uid={escape_bytes(value)})"
    expected = oracle.search_request(message_id, "ou=people,dc=example", scope, condition, ["uid", "mailHost"], 2)
    assert template.encode(message_id, value) == expected


@given(IDS, st.binary(min_size=1, max_size=300))
def test_a_search_with_a_filter_of_its_own_is_encoded_as_ldap3_does(message_id: int, value: bytes) -> None:
    extra = "(&(objectClass=person)(!(status=locked*)))"
    template = SearchTemplate("dc=x", "subtree", ["mail"], parse_filter(extra), ["mail"])
    condition = f"(&{extra}(mail={escape_bytes(value)}))"
    assert template.encode(message_id, value) == oracle.search_request(
        message_id, "dc=x", "subtree", condition, ["mail"], 2
    )


@given(IDS, st.binary(min_size=1, max_size=300), st.sampled_from(["", "(status=active)"]))
def test_a_search_by_several_names_is_encoded_as_ldap3_does(message_id: int, value: bytes, extra: str) -> None:
    names = ["uid", "mail", "mailLocalAddress"]
    template = SearchTemplate("dc=x", "one", names, parse_filter(extra) if extra else None, ["uid"])
    condition = "(|" + "".join(f"({name}={escape_bytes(value)})" for name in names) + ")"
    if extra:
        condition = f"(&{extra}{condition})"
    assert template.encode(message_id, value) == oracle.search_request(message_id, "dc=x", "one", condition, ["uid"], 2)


USED = SearchTemplate("dc=x", "one", ["uid", "mail"], parse_filter("(status=active)"), ["uid"])


@given(IDS, st.binary(max_size=300))
def test_a_search_is_encoded_alike_however_often_there_was_one_before(message_id: int, value: bytes) -> None:
    new = SearchTemplate("dc=x", "one", ["uid", "mail"], parse_filter("(status=active)"), ["uid"])
    assert USED.encode(message_id, value) == USED.encode(message_id, value) == new.encode(message_id, value)
    assert len(USED._pieces) <= 256


def test_a_filter_that_every_entry_matches_is_left_out() -> None:
    bare = SearchTemplate("dc=x", "one", ["uid"], None, ["uid"])
    assert SearchTemplate("dc=x", "one", ["uid"], parse_filter("(objectClass=*)"), ["uid"]).encode(
        1, b"a"
    ) == bare.encode(1, b"a")


@pytest.mark.parametrize("value", INJECTIONS)
def test_no_value_changes_the_shape_of_a_search(value: bytes) -> None:
    template = SearchTemplate("dc=x", "subtree", ["uid"], parse_filter("(a=b)"), ["uid"])
    head = b"\x04\x04dc=x\x0a\x01\x02\x0a\x01\x00\x02\x01\x02\x02\x01\x00\x01\x01\x00"
    condition = wrap(b"\xa3", b"\x04\x03uid" + octet_string(value))
    condition = wrap(b"\xa0", b"\xa3\x06\x04\x01a\x04\x01b" + condition)
    assert template.encode(7, value) == wrap(
        b"\x30", b"\x02\x01\x07" + wrap(b"\x63", head + condition + b"\x30\x05\x04\x03uid")
    )


@given(IDS, DNS.filter(bool), st.binary(min_size=1, max_size=300))
def test_a_bind_is_encoded_as_ldap3_does(message_id: int, dn: str, password: bytes) -> None:
    assert bind_request(message_id, dn.encode(), password) == oracle.bind_request(message_id, dn, password)


@given(IDS, IDS)
def test_the_small_requests_are_encoded_as_ldap3_does(message_id: int, other: int) -> None:
    assert start_tls_request(message_id) == oracle.start_tls_request(message_id)
    assert abandon_request(message_id, other) == oracle.abandon_request(message_id, other)
    assert unbind_request(message_id) == oracle.unbind_request(message_id)
    assert BaseProbe("dc=x").encode(message_id, b"") == oracle.search_request(
        message_id, "dc=x", "base", "(objectClass=*)", ["1.1"], 1
    )


# --- responses ---


@given(IDS, DNS, st.dictionaries(NAMES, st.lists(st.binary(max_size=200), min_size=1, max_size=4), max_size=5))
def test_an_entry_is_read_as_ldap3_reads_it(message_id: int, dn: str, attributes: dict[str, list[bytes]]) -> None:
    encoded = oracle.search_entry(message_id, dn, attributes)
    theirs = decode_message_fast(encoded)
    ours = read(encoded)
    assert isinstance(ours, FoundEntry)
    assert ours.message_id == theirs["messageID"] == message_id
    assert ours.dn == theirs["payload"][0][3].decode() == dn
    lowered: dict[bytes, list[bytes]] = {}
    for name, values in raw_attributes_to_dict_fast(theirs["payload"][1][3]).items():
        lowered.setdefault(name.lower().encode(), []).extend(values)
    assert {name: sorted(values) for name, values in ours.attributes.items()} == {
        name: sorted(values) for name, values in lowered.items()
    }


def test_an_attribute_without_values_is_one() -> None:
    assert read(oracle.search_entry(1, "dc=x", {"UID": []})) == FoundEntry(1, "dc=x", {b"uid": []})


def read_in_steps(data: bytes) -> FoundEntry:
    """An entry as the grammar tells it, one element after the other."""
    start, end = expect(data, 0, len(data), SEQUENCE)
    start, at = expect(data, start, end, INTEGER)
    message_id = number(data, start, at)
    start, end = expect(data, at, end, SEARCH_ENTRY)
    start, at = expect(data, start, end, OCTET_STRING)
    dn, values = text(data, start, at), dict[bytes, list[bytes]]()
    at, end = expect(data, at, end, SEQUENCE)
    while at < end:
        start, at = expect(data, at, end, SEQUENCE)
        name, stop = expect(data, start, at, OCTET_STRING)
        found = values.setdefault(data[name:stop].lower(), [])
        value, stop = expect(data, stop, at, SET)
        while value < stop:
            start, value = expect(data, value, stop, OCTET_STRING)
            found.append(data[start:value])
    return FoundEntry(message_id, dn, values)


@st.composite
def elements(draw: st.DrawFn, tag: int, content: st.SearchStrategy[bytes]) -> bytes:
    """An element whose length is short, or longer than it need be, or wrong."""
    inside, head = draw(content), bytes((tag,))
    size = len(inside)
    stretched = [b"\x81" + bytes((size & 255,)), b"\x84" + size.to_bytes(4, "big"), bytes((size + 1 & 127,))]
    return draw(st.sampled_from([wrap(head, inside)] * 9 + [head + length + inside for length in stretched]))


def several(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


VALUE = elements(OCTET_STRING, st.sampled_from([b"", b"s1", b"x" * 120, b"x" * 130]))
ATTRIBUTE = elements(
    SEQUENCE,
    several(
        elements(OCTET_STRING, st.sampled_from([b"uid", b"UID", b"mailHost", b""])),
        elements(SET, st.sampled_from([1, 1, 1, 0, 2]).flatmap(lambda count: several(*[VALUE] * count))),
        st.sampled_from([b"", b"", b"", b"\x04"]),
    ),
)
ENTRY = elements(
    SEARCH_ENTRY,
    several(
        elements(OCTET_STRING, st.sampled_from([b"uid=a,dc=x", b"", "é".encode(), b"\xff"])),
        elements(SEQUENCE, st.integers(0, 3).flatmap(lambda count: several(*[ATTRIBUTE] * count))),
        st.sampled_from([b"", b"", b"\x04\x00"]),
    ),
)


@given(several(st.sampled_from([b"\x02\x01\x05", b"\x02\x03\x01\x00\x05"]), ENTRY), st.binary(max_size=3))
def test_an_entry_is_read_at_once_as_it_is_read_in_steps(message: bytes, behind: bytes) -> None:
    def outcome(reader: Callable[[bytes], Response]) -> Response | str:
        try:
            return reader(wrap(b"\x30", message))
        except BerError as error:
            return str(error)

    assert outcome(read) == outcome(read_in_steps)
    assert outcome(lambda data: decode(data + behind, len(data) - len(message), len(data))) == outcome(read_in_steps)


KINDS = {"bindResponse": BIND_RESPONSE, "searchResDone": SEARCH_DONE, "extendedResp": EXTENDED_RESPONSE}


@given(
    IDS,
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([0, 1, 3, 4, 10, 32, 49, 51, 53, 80]),
    st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_a_result_is_read_as_ldap3_reads_it(message_id: int, kind: str, code: int, diagnostic: str) -> None:
    encoded = oracle.result(message_id, kind, code, diagnostic)
    theirs = decode_message_fast(encoded)
    details = ldap_result_to_dict_fast(theirs["payload"])
    assert read(encoded) == Result(
        theirs["messageID"], KINDS[kind], details["result"], details["message"] or "", policy_error=None
    )


def test_referrals_are_passed_over() -> None:
    encoded = oracle.result(7, "searchResDone", 10, "elsewhere", ["ldap://a/", "ldap://b/"])
    assert read(encoded) == Result(7, SEARCH_DONE, 10, "elsewhere", None)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_plain_success_is_recognised_with_the_same_outcome_as_when_read(kind: str) -> None:
    expected = Result(5, KINDS[kind], 0, "", None)
    short = oracle.result(5, kind, 0)
    assert read(short) == expected
    assert (
        read(wrap(b"\x30", b"\x02\x01\x05" + wrap(bytes((KINDS[kind],)), b"\x0a\x01\x00\x04\x81\x00\x04\x00")))
        == expected
    )


def test_a_diagnostic_that_is_not_utf8_still_informs() -> None:
    content = integer(1) + wrap(b"\x61", b"\x0a\x01\x31\x04\x00\x04\x03a\xffb")
    assert read(wrap(b"\x30", content)) == Result(1, BIND_RESPONSE, 49, "a�b", None)


def test_references_and_intermediate_responses_are_recognised_and_of_no_use() -> None:
    assert read(wrap(b"\x30", b"\x02\x01\x05" + wrap(b"\x73", octet_string(b"ldap://x/")))) == Other(5)
    assert read(b"\x30\x05\x02\x01\x05\x79\x00") == Other(5)


POLICY = oracle.PASSWORD_POLICY


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\x30\x00", None),
        (b"\x30\x03\x81\x01\x00", 0),
        (b"\x30\x03\x81\x01\x02", 2),
        (b"\x30\x05\xa0\x03\x80\x01\x3c", None),
        (b"\x30\x08\xa0\x03\x80\x01\x3c\x81\x01\x01", 1),
    ],
)
@pytest.mark.parametrize("critical", [False, True])
def test_the_error_of_a_password_policy_control_is_read(value: bytes, error: int | None, critical: bool) -> None:
    encoded = oracle.result(9, "bindResponse", 0, controls=[("1.2.3", True, b"x"), (POLICY, critical, value)])
    assert decode_message_fast(encoded)["controls"][1][3][0][3] == POLICY.encode()
    assert read(encoded) == Result(9, BIND_RESPONSE, 0, "", error)


def test_other_controls_are_passed_over() -> None:
    encoded = oracle.result(9, "searchResDone", 0, controls=[("1.2.3", False, b"anything")])
    assert read(encoded) == Result(9, SEARCH_DONE, 0, "", None)


def test_a_malformed_password_policy_control_is_refused() -> None:
    encoded = oracle.result(9, "bindResponse", 0, controls=[(POLICY, False, b"\x30\x03\x85\x01\x00")])
    with pytest.raises(BerError, match="password-policy"):
        read(encoded)


# --- the stream ---


STREAM = (
    oracle.search_entry(3, "uid=a,dc=x", {"uid": [b"a"], "mailHost": [b"s" * 300]})
    + oracle.result(3, "searchResDone", 0)
    + oracle.result(300, "bindResponse", 49, "data 52e")
)
WHOLE = Responses(LIMIT).feed(STREAM)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1000])
def test_messages_are_the_same_however_the_stream_is_cut(size: int) -> None:
    responses = Responses(LIMIT)
    got = [each for at in range(0, len(STREAM), size) for each in responses.feed(STREAM[at : at + size])]
    assert got == WHOLE
    assert len(got) == 3
    assert responses.empty


def test_an_unfinished_message_is_kept() -> None:
    responses = Responses(LIMIT)
    assert responses.feed(STREAM[:10]) == []
    assert not responses.empty


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "begins with 0x48"),
        (b"\x30\x80", "indefinite"),
        (b"\x30\x85\0\0\0\0\1", "too long"),
        (b"\x30\x84\x00\x00\x10\x01", "longer than 4096 bytes"),
        (b"\x30\x84\xff\xff\xff\xff", "longer than 4096 bytes"),
        (b"\x30\x03\x02\x01\x01", "unknown kind"),
        (b"\x30\x05\x02\x01\xff\x65\x00", "negative"),
        (b"\x30\x05\x02\x01\x01\x30\x00", "unknown kind"),
        (b"\x30\x05\x02\x01\x01\x65\x00", "before its length"),
    ],
)
def test_what_no_ldap_server_says_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BerError, match=problem):
        Responses(LIMIT).feed(data)


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_end_in_messages_or_in_the_codecs_own_error(pieces: list[bytes]) -> None:
    feed_all(pieces)


@given(
    st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), max_size=6),
    st.integers(1, len(STREAM)),
    st.integers(0, len(STREAM)),
)
def test_mutated_messages_end_in_messages_or_in_the_codecs_own_error(
    changes: list[tuple[int, int]], cut: int, drop: int
) -> None:
    data = bytearray(STREAM)
    for place, value in changes:
        data[place] = value
    feed_all([bytes(data[:cut]), bytes(data[cut:]), bytes(data[drop:])])


def feed_all(pieces: list[bytes]) -> None:
    """Feed until refused; what is kept never exceeds the limit and the head of a message."""
    responses = Responses(LIMIT)
    for piece in pieces:
        try:
            responses.feed(piece)
        except BerError:
            return
        assert len(responses._rest) <= LIMIT + 6


def test_a_message_in_tiny_pieces_costs_time_in_proportion_to_its_size() -> None:
    responses, calls = Responses(1 << 20), 0
    message = oracle.result(1, "bindResponse", 49, "x" * 100_000)
    for at in range(len(message) - 1):
        calls += len(responses.feed(message[at : at + 1]))
    assert calls == 0
    assert len(responses.feed(message[-1:])) == 1
