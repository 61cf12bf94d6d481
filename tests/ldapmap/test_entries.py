"""Users read from entries."""

import pytest

from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import EmptyPassword, Misconfigured, NoRoute
from ldapmap.settings import Attributes

PLAIN = EntryReader(Attributes(), lower_case=True)
FULL = EntryReader(Attributes(user="mail", shard="mailHost", preferred="replica", login="uid"), lower_case=False)
DN = "uid=alice,dc=x"


def test_an_entry_says_who_and_where() -> None:
    values = {b"uid": [b"Alice"], b"mailhost": [b" s1 "]}
    assert PLAIN.read(DN, values) == Entry("alice", DN, "s1")


def test_every_configured_attribute_is_read() -> None:
    values = {b"mail": [b"Alice@x"], b"mailhost": [b"s1"], b"replica": [b"b2"], b"uid": [b"al"]}
    assert FULL.read(DN, values) == Entry("Alice@x", DN, "s1", "b2", "al")


def test_what_is_not_there_is_empty() -> None:
    assert FULL.read(DN, {b"mail": [b"a@x"], b"mailhost": [b"s1"]}) == Entry("a@x", DN, "s1", "", "")


def test_attributes_are_asked_for_once_each() -> None:
    assert FULL.wanted == ("mail", "mailHost", "replica", "uid")
    assert EntryReader(Attributes(login="UID"), lower_case=True).wanted == ("UID", "mailHost")


@pytest.mark.parametrize(
    ("values", "user"),
    [
        ([b"Alice"], "Alice"),  # what the directory holds, not what was typed
        ([b"zoe", b"bob", b"al"], "al"),
        ([b"al", b"zoe", b"bob"], "al"),
        ([b"", b"zoe"], "zoe"),
    ],
)
def test_an_entry_has_one_name_however_many_it_is_found_by(values: list[bytes], user: str) -> None:
    assert FULL.read(DN, {b"mail": values, b"mailhost": [b"s1"]}).user == user
    assert PLAIN.read(DN, {b"uid": values, b"mailhost": [b"s1"]}).user == user.lower()


@pytest.mark.parametrize("values", [{}, {b"mailhost": []}, {b"mailhost": [b""]}, {b"mailhost": [b"  "]}])
def test_an_entry_without_a_shard_has_no_route(values: dict[bytes, list[bytes]]) -> None:
    with pytest.raises(NoRoute, match="has no mailHost"):
        PLAIN.read(DN, {b"uid": [b"a"], **values})


def test_an_entry_with_two_shards_has_no_route() -> None:
    with pytest.raises(NoRoute, match="2 values of mailhost"):
        PLAIN.read(DN, {b"uid": [b"a"], b"mailhost": [b"s1", b"s2"]})


@pytest.mark.parametrize("values", [{}, {b"uid": []}, {b"uid": [b" "]}])
def test_an_entry_whose_name_may_not_be_read_is_our_mistake(values: dict[bytes, list[bytes]]) -> None:
    with pytest.raises(Misconfigured, match="has no uid that we may read"):
        PLAIN.read(DN, {b"mailhost": [b"s1"], **values})


@pytest.mark.parametrize("value", [b"s1\r\nx", b"s\0", b"s\x7f", "s\u202e".encode()])
@pytest.mark.parametrize("attribute", [b"mail", b"mailhost", b"replica", b"uid"])
def test_control_characters_from_the_directory_are_refused_like_typed_ones(attribute: bytes, value: bytes) -> None:
    values = {
        b"mail": [b"a@x"],
        b"mailhost": [b"s1"],
        b"replica": [b"b2"],
        b"uid": [b"a"],
        attribute: [b"x" + value + b"x"],
    }
    with pytest.raises(Misconfigured, match="control character"):
        FULL.read(DN, values)


def test_a_value_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"mailhost of .* is not UTF-8"):
        PLAIN.read(DN, {b"uid": [b"a"], b"mailhost": [b"\xff"]})


@pytest.mark.parametrize("password", [b"", b" ", b"\0", b"\0\0\0", b" \t\r\n"])
def test_an_empty_or_blank_password_is_refused(password: bytes) -> None:
    with pytest.raises(EmptyPassword):
        refuse_empty(Entry("a", DN, "s1"), password)


def test_a_password_may_contain_blanks() -> None:
    refuse_empty(Entry("a", DN, "s1"), b" x ")


def test_an_entry_without_a_dn_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no DN"):
        refuse_empty(Entry("a", "", "s1"), b"secret")
