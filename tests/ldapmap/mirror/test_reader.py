"""Lookups, while someone writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from ldapmap.entries import Entry
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.meta import NEVER
from ldapmap.mirror.reader import Reader
from ldapmap.mirror.records import key_of, keys_of
from ldapmap.mirror.store import Writer

THESE = b"these settings"
ANN = Entry("ann", "cn=ann", "s1", "mb1", "ann@x", '{"disabled":"x"}')


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    """With ann, who is a@x as well."""
    opened = Writer(tmp_path / "mirror-1.mdb", fingerprint=THESE)
    with opened.transaction() as change:
        change.put(b"\x01" + bytes(16), keys_of(0, ["ann", "a@x"]), ANN, b"")
    opened.finish_load()
    yield opened
    opened.close(clean=True)


@pytest.fixture
def reader(writer: Writer) -> Iterator[Reader]:
    opened = Reader(writer.path, fingerprint=THESE)
    yield opened
    opened.close()


@pytest.mark.parametrize(("name", "entry"), [("ann", ANN), ("a@x", ANN), ("bob", None), ("x" * 600, None)])
def test_a_user_is_found_by_every_name(reader: Reader, name: str, entry: Entry | None) -> None:
    found = reader.find(key_of(0, name))
    assert found == entry
    assert found is None or type(found) is Entry


def test_bases_do_not_mix(reader: Reader) -> None:
    assert reader.find(key_of(1, "ann")) is None


def test_an_ambiguous_name_finds_nobody(writer: Writer, reader: Reader) -> None:
    with writer.transaction() as change:
        change.put(b"\x01" + b"1" * 16, keys_of(0, ["ann"]), ANN, b"")
    assert reader.find(key_of(0, "ann")) is None
    assert reader.find(key_of(0, "a@x")) is None


def test_a_change_is_seen_at_once(writer: Writer, reader: Reader) -> None:
    with writer.transaction() as change:
        change.put(b"\x01" + bytes(16), keys_of(0, ["ann"]), ANN._replace(shard="s2"), b"")
        assert reader.find(key_of(0, "ann")) == ANN
    assert reader.find(key_of(0, "ann")) == ANN._replace(shard="s2")


def test_the_heartbeat_and_the_shards_are_told(writer: Writer, reader: Reader) -> None:
    assert reader.heartbeat() == NEVER
    with writer.transaction() as change:
        change.heartbeat(1.5, 2.5)
        change.put_shard(bytes(16), "s1", "{}")
    assert reader.heartbeat()[:2] == (1.5, 2.5)
    assert reader.shards() == {"s1": "{}"}


def test_a_file_of_other_settings_is_refused(writer: Writer) -> None:
    with pytest.raises(Unusable, match="other settings"):
        Reader(writer.path, fingerprint=b"others")


def test_a_map_that_another_process_made_larger_is_adopted(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = reader._environment.begin
    refusals = [lmdb.MapResizedError("grown")]

    def refusing(*arguments: object) -> object:
        if refusals:
            raise refusals.pop()
        return begin(*arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(reader._environment, "begin", refusing)
    assert reader.find(key_of(0, "ann")) == ANN
    assert not reader.broken


def test_a_file_that_lmdb_finds_damaged_finds_nobody(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> object:
        raise lmdb.CorruptedError("damaged")

    monkeypatch.setattr(reader._environment, "begin", damaged)
    assert reader.find(key_of(0, "ann")) is None
    assert reader.broken


@pytest.mark.parametrize("value", [b"\x01", b"x\xff"])
def test_a_damaged_value_finds_nobody(writer: Writer, reader: Reader, value: bytes) -> None:
    with writer._environment.lmdb.begin(write=True) as transaction:
        transaction.put(key_of(0, "eve"), value, db=writer._environment.users)
    assert reader.find(key_of(0, "eve")) is None
    assert reader.broken
