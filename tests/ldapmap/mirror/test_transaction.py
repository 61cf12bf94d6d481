"""What a transaction makes of entries: names, ambiguity, what is unusable, shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ldapmap.entries import Entry
from ldapmap.mirror.store import Writer
from ldapmap.mirror.transaction import Outcome
from tests.ldapmap.mirror.stored import THESE, entry_of, found, id_of, put


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mirror-1.mdb"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """Loaded with nothing."""
    opened = Writer(path, fingerprint=THESE)
    opened.finish_load()
    yield opened
    opened.close(clean=True)


def test_a_user_is_stored_under_every_name(writer: Writer) -> None:
    with writer.transaction() as change:
        assert put(change, 1, "ann", "a@x") == (Outcome.NEW, None, True)
    assert found(writer, "ann", "a@x", "bob") == ["ann", "ann", ""]
    assert (writer.users, writer.entries, writer.unusable) == (1, 1, 0)


def test_only_what_differs_is_a_change(writer: Writer) -> None:
    ann = entry_of("ann")
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x", password=b"1")
        assert put(change, 1, "ann", "a@x", password=b"1") == (Outcome.UNCHANGED, None, True)
        assert put(change, 1, "ann", "a@x", password=b"2") == (Outcome.PASSWORD, ann, True)
        assert put(change, 1, "ann", "a@x", password=b"2", shard="s2") == (Outcome.ROUTE, ann, True)
        moved = ann._replace(shard="s2")
        assert put(change, 1, "ann", "b@x", password=b"2", shard="s2") == (Outcome.ROUTE, moved, True)
        assert put(change, 1, "ann", "b@x", shard="s2") == (Outcome.PASSWORD, moved, True)
    assert found(writer, "ann", "a@x", "b@x") == ["ann", "", "ann"]


def test_a_renamed_user_is_not_found_by_the_old_name(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x")
        assert put(change, 1, "eve", "a@x").former == entry_of("ann")
    assert found(writer, "ann", "a@x", "eve") == ["", "eve", "eve"]


def test_a_deleted_user_is_gone_under_every_name(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x")
        assert change.delete(id_of(1)) == entry_of("ann")
        assert change.delete(id_of(1)) is None
    assert found(writer, "ann", "a@x") == ["", ""]
    assert writer.entries == 0


def test_an_entry_without_a_route_is_counted_and_nothing_else(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann")
        assert change.put_unusable(id_of(1)) == (Outcome.ROUTE, entry_of("ann"), False)
        assert change.put_unusable(id_of(1)).outcome is Outcome.UNCHANGED
        assert change.put_unusable(id_of(2)) == (Outcome.NEW, None, False)
        put(change, 3, "eve")
    assert found(writer, "ann", "eve") == ["", "eve"]
    assert (writer.users, writer.entries, writer.unusable) == (1, 3, 2)
    with writer.transaction() as change:
        assert put(change, 1, "ann").outcome is Outcome.NEW
        assert change.delete(id_of(2)) is None
    assert (writer.users, writer.entries, writer.unusable) == (2, 2, 0)


def test_a_name_of_two_entries_finds_neither_and_stays_so(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x")
        assert put(change, 2, "ann", "b@x") == (Outcome.NEW, None, False)
    assert found(writer, "ann", "a@x", "b@x") == ["", "", ""]
    with writer.transaction() as change:
        assert change.delete(id_of(2)) == Entry("ann", "", "")  # only the name is still known
        assert put(change, 1, "ann", "a@x") == (Outcome.ROUTE, None, False)
    assert found(writer, "ann") == [""]


def test_an_alias_of_two_entries_finds_neither_but_their_own_names_do(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x")
        assert put(change, 2, "eve", "a@x").found
    assert found(writer, "ann", "eve", "a@x") == ["ann", "eve", ""]
    with writer.transaction() as change:
        assert put(change, 2, "eve").outcome is Outcome.ROUTE
        change.delete(id_of(1))
    assert found(writer, "ann", "eve", "a@x") == ["", "eve", ""]


def test_whoever_is_renamed_out_of_a_conflict_is_found(writer: Writer) -> None:
    with writer.transaction() as change:
        put(change, 1, "ann", "a@x")
        put(change, 2, "ann")
        assert put(change, 1, "anna", "a@x") == (Outcome.ROUTE, None, True)
        assert put(change, 2, "ann", password=b"2") == (Outcome.ROUTE, None, False)
    assert found(writer, "ann", "anna", "a@x") == ["", "anna", "anna"]


def test_ids_are_listed_by_their_base(writer: Writer) -> None:
    other = b"\x02" + bytes(16)
    with writer.transaction() as change:
        assert list(change.ids()) == []
        put(change, 1, "ann")
        put(change, 2, "bob")
        change.put_unusable(other)
        assert list(change.ids(b"\x01")) == [id_of(1), id_of(2)]
        assert list(change.ids(b"\x02")) == [other]
        assert list(change.ids(b"\x03")) == []
        assert len(list(change.ids())) == 3


def test_a_shard_is_kept_until_its_entry_goes(writer: Writer) -> None:
    one, two = id_of(1)[1:], id_of(2)[1:]
    with writer.transaction() as change:
        assert change.put_shard(one, "s1", "{}") == ["s1"]
        assert change.put_shard(one, "s1", "{}") == []
        assert change.put_shard(two, "s1", "{2}") == []
        assert change.shard_owner("s1") == one
        assert change.shard_owner("s2") is None
        assert list(change.shard_ids()) == [one]
    assert writer.shards() == {"s1": "{}"}
    with writer.transaction() as change:
        assert change.put_shard(one, "renamed", "{}") == ["s1", "renamed"]
    assert writer.shards() == {"renamed": "{}"}
    with writer.transaction() as change:
        assert change.delete_shard(one) == "renamed"
        assert change.delete_shard(one) is None
    assert writer.shards() == {}
