"""Keys and values of the table that every login reads."""

from hypothesis import given
from hypothesis import strategies as st

from ldapmap.entries import Entry
from ldapmap.mirror.records import ALIAS, AMBIGUOUS, entry_of, key_of, keys_of, name_of, record_of

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.builds(Entry, *[TEXT] * 6))
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    assert entry_of(record_of(entry)) == entry


def test_a_record_is_neither_an_alias_nor_ambiguous() -> None:
    record = record_of(Entry("alice", "cn=alice", "s1"))
    assert record == b"alice\0cn=alice\0s1\0\0\0"
    assert record[:1] not in (ALIAS, AMBIGUOUS)


@given(st.integers(0, 300), TEXT)
def test_a_key_has_a_character_for_the_base_and_the_name(number: int, name: str) -> None:
    key = key_of(number, name)
    assert key.decode() == chr(1 + number) + name
    assert name_of(key) == name


def test_names_that_nobody_can_type_have_no_key() -> None:
    assert keys_of(0, ["alice", "", "a\0b", "x" * 510, "x" * 511]) == [b"\x01alice", b"\x01" + b"x" * 510]
