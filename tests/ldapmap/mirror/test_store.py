"""The file that one process writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from ldapmap.mirror import boot, changes, environment
from ldapmap.mirror import transaction as transactions
from ldapmap.mirror.changes import Change
from ldapmap.mirror.errors import Full, Unusable
from ldapmap.mirror.store import Writer
from ldapmap.mirror.transaction import Outcome
from tests.ldapmap.mirror.stored import THESE, found, id_of, put


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


# --- transactions ---


def test_a_transaction_that_fails_changes_nothing(writer: Writer) -> None:
    def fail() -> None:
        with writer.transaction() as change:
            put(change, 1, "ann")
            change.put_unusable(id_of(2))
            change.set_cookie("base", b"new")
            change.log("ann", "s1", "", "", "")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert found(writer, "ann") == [""]
    assert (writer.entries, writer.unusable, writer.cookie("base")) == (0, 0, b"")
    assert writer.changes_since(writer.sequence, 10) == []


def test_what_lmdb_cannot_do_is_unusable(writer: Writer) -> None:
    def fail() -> None:
        with writer.transaction():
            raise lmdb.DiskError("no space left on device")

    with pytest.raises(Unusable, match="no space"):
        fail()
    assert writer.users == 0


def test_without_room_the_transaction_fails_and_the_next_has_room(path: Path) -> None:
    writer = Writer(path, fingerprint=THESE, map_size=1 << 18)
    writer.finish_load()

    def fill() -> None:
        with writer.transaction() as change:
            for number in range(500):
                put(change, number, f"user{number}", shard="x" * 400)

    with pytest.raises(Full, match="more now"):
        fill()
    assert writer.users == 0
    fill()
    assert writer.users == 500
    writer.close(clean=True)


def test_a_load_without_room_fails_too(path: Path) -> None:
    writer = Writer(path, fingerprint=THESE, map_size=1 << 18)
    with writer.transaction() as change:
        for number in range(500):
            put(change, number, f"user{number}", shard="x" * 400)
    with pytest.raises(Full):
        writer.finish_load()
    writer.finish_load()
    assert writer.users == 500
    writer.close(clean=True)


def test_a_cookie_is_kept_under_its_name(writer: Writer) -> None:
    with writer.transaction() as change:
        change.set_cookie("one", b"1")
        change.set_cookie("two", b"2")
        assert change.cookie("one") == b"1"
    assert [writer.cookie(name) for name in ("one", "two", "three")] == [b"1", b"2", b""]


# --- the log ---


def test_changes_are_told_in_their_order(writer: Writer) -> None:
    start = writer.sequence
    with writer.transaction() as change:
        change.log("ann", "s1", "", "", "")
        change.log("bob", "", "", "s2", "mb2")
        change.log_shard("s3")
    everything = [
        Change(start + 1, "ann", "s1", "", "", ""),
        Change(start + 2, "bob", "", "", "s2", "mb2"),
        Change(start + 3, "", "", "", "", "", "s3"),
    ]
    assert writer.changes_since(start, 10) == everything
    assert writer.changes_since(start, 2) == everything[:2]
    assert writer.changes_since(start + 2, 10) == everything[2:]
    assert writer.changes_since(start + 3, 10) == []


def test_what_is_too_old_or_of_another_file_is_not_known(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LIMIT", 3)
    start = writer.sequence
    assert writer.changes_since(start - 1, 10) is None
    assert writer.changes_since(start + 1, 10) is None
    with writer.transaction() as change:
        for _ in range(5):
            change.log("ann", "s1", "", "", "")
    assert writer.changes_since(start + 1, 10) is None
    assert len(writer.changes_since(start + 2, 10) or ()) == 3
    assert writer.sequence == start + 5


# --- shards ---


# --- loads ---


@pytest.fixture
def loading(path: Path) -> Iterator[Writer]:
    opened = Writer(path, fingerprint=THESE)
    yield opened
    opened.close(clean=False)


def test_a_load_is_written_in_chunks(loading: Writer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "CHUNK", 7)
    for first in range(0, 100, 10):
        with loading.transaction() as change:
            assert change.loading
            for number in range(first, first + 10):
                assert put(change, number, f"u{number}", f"{number}@x").outcome is Outcome.NEW
        assert loading.users == first + 10
    assert not path.exists()
    loading.finish_load()
    assert not loading.loading
    assert found(loading, "u0", "99@x", "u100") == ["u0", "u99", ""]
    assert loading.users == 100
    assert list(path.parent.glob("*.load*")) == []


def test_in_a_load_nothing_is_logged(loading: Writer) -> None:
    with loading.transaction() as change:
        change.log("ann", "s1", "", "", "")
    loading.finish_load()
    assert loading.changes_since(loading.sequence, 10) == []


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_in_a_load_entries_may_come_again_change_and_go(
    loading: Writer, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "CHUNK", chunk)
    with loading.transaction() as change:
        put(change, 1, "ann", "a@x", password=b"1")
        put(change, 2, "bob")
        put(change, 3, "cy", "a@x")
        change.put_unusable(id_of(4))
        put(change, 1, "anna", "a@x")
        change.delete(id_of(2))
        put(change, 5, "dee", "ann")
        put(change, 5, "dee", "ann")
        assert len(list(change.ids())) == 4
    loading.finish_load()
    assert found(loading, "anna", "a@x", "bob", "cy", "dee", "ann") == ["anna", "", "", "cy", "dee", "dee"]
    assert (loading.users, loading.unusable) == (3, 1)


def test_a_load_keeps_shards_and_cookies(loading: Writer) -> None:
    with loading.transaction() as change:
        change.set_cookie("base", b"c")
        change.put_shard(bytes(16), "s1", "{}")
        change.heartbeat(1.0, 2.0)
    loading.finish_load()
    assert (loading.cookie("base"), loading.shards()) == (b"c", {"s1": "{}"})


def test_a_load_that_ended_half_way_begins_anew(path: Path) -> None:
    first = Writer(path, fingerprint=THESE)
    with first.transaction() as change:
        put(change, 1, "ann")
        change.write_pending()
    first.close(clean=True)
    second = Writer(path, fingerprint=THESE)
    assert second.loading
    second.finish_load()
    assert second.users == 0
    second.close(clean=True)


def test_a_load_that_was_not_copied_wholly_is_not_used(
    path: Path, loading: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(source: object, target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment.Environment, "copy_to", dies)
    with pytest.raises(KeyboardInterrupt):
        loading.finish_load()
    with pytest.raises(Unusable, match="never loaded"):
        Writer(path, fingerprint=THESE)


def test_rows_are_copied_in_several_transactions(loading: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_AT_ONCE", 3)
    with loading.transaction() as change:
        for number in range(9):
            put(change, number, f"u{number}")
    loading.finish_load()
    assert loading.users == 9
    assert found(loading, "u0", "u8") == ["u0", "u8"]


# --- opening again ---


def test_it_is_all_there_when_it_is_opened_again(path: Path) -> None:
    for clean in (True, False):
        path.unlink(missing_ok=True)
        writer = Writer(path, fingerprint=THESE)
        writer.finish_load()
        with writer.transaction() as change:
            put(change, 1, "ann")
            change.put_unusable(id_of(2))
            change.log("ann", "s1", "", "", "")
        sequence = writer.sequence
        writer.close(clean=clean)
        assert boot.mark_of(path).exists() is not clean
        writer = Writer(path, fingerprint=THESE)
        assert (writer.users, writer.unusable, writer.sequence) == (1, 1, sequence)
        assert writer.file_bytes == path.stat().st_size
        writer.close(clean=True)


def test_a_file_of_other_settings_is_not_used(path: Path, writer: Writer) -> None:
    with pytest.raises(Unusable, match="other settings"):
        Writer(path, fingerprint=b"others")


def test_after_a_power_failure_only_a_clean_file_is_used(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(path, fingerprint=THESE)
    writer.finish_load()
    writer.close(clean=True)
    (tmp_path / "boot_id").write_text("another")
    monkeypatch.setattr(boot, "BOOT_ID", tmp_path / "boot_id")
    writer = Writer(path, fingerprint=THESE)
    writer.close(clean=False)
    (tmp_path / "boot_id").write_text("a third")
    with pytest.raises(Unusable, match="went down"):
        Writer(path, fingerprint=THESE)


def test_whoever_has_a_removed_file_open_may_go_on(writer: Writer, path: Path) -> None:
    path.unlink()
    with writer.transaction() as change:
        put(change, 1, "ann")
    assert writer.users == 1
    assert writer.file_bytes > 0


def test_pages_that_were_never_written_do_not_look_like_a_cut(path: Path, writer: Writer) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 4096)
    writer._environment.fill_up()
    assert path.stat().st_size == size
