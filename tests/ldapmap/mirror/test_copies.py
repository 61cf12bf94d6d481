"""The copy in use and the one that takes its place."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldapmap.entries import Entry
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.errors import PurgeRefused, Unusable
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.records import key_of
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.store import Writer
from ldapmap.settings import DirectorySettings

SETTINGS = DirectorySettings(kind="ldap", servers=("ldap://127.0.0.1",), base="ou=people,dc=x")


class Kept:
    """Copies in a directory, and who was forgotten."""

    def __init__(self, path: Path, settings: DirectorySettings = SETTINGS) -> None:
        self.path = path
        self.forgotten: list[str] = []
        self.copies = Copies(
            settings, path, forget=self.forgotten.append, forget_all=lambda: self.forgotten.append("everybody")
        )

    async def load(self, *users: str) -> None:
        loaded = self.copies.load()
        put(loaded, *users)
        try:
            self.copies.accept(loaded)
        except BaseException:
            self.copies.discard(loaded)
            raise

    def found(self, user: str) -> bool:
        routes = Routes(self.path, fingerprint=fingerprint(SETTINGS), trust=60.0)
        try:
            return routes.find(0, user) is not None
        finally:
            routes.close()

    @property
    def files(self) -> list[str]:
        """The loads of which any file is there."""
        return sorted({each.name.partition(".")[0] for each in self.path.glob("mirror-*")})


def put(writer: Writer, *users: str, base: int = 0, shard: str = "s1") -> None:
    with writer.transaction() as change:
        for user in users:
            entry = Entry(user, f"uid={user},dc=x", shard)
            entry_id = bytes((1 + base,)) + user.encode().rjust(16, b"\0")
            change.put(entry_id, [key_of(base, user), key_of(base, f"{user}@x")], entry, b"")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    kept.copies.open()
    yield kept
    kept.copies.close()


async def test_the_first_load_is_used_and_everybody_is_forgotten(kept: Kept) -> None:
    assert (kept.copies.status().generation, kept.copies.status().users, kept.copies.sequence) == (0, 0, 0)
    assert kept.copies.changes_since(0, 10) is None
    before = time.time()
    await kept.load("alice", "bob")
    status = kept.copies.status()
    assert (status.generation, status.users, status.entries, status.reloads) == (1, 2, 2, 1)
    assert status.last_contact >= before
    assert status.file_bytes > 0
    assert kept.forgotten == ["everybody"]
    assert kept.found("alice")


async def test_a_discarded_load_leaves_nothing(kept: Kept) -> None:
    loaded = kept.copies.load()
    put(loaded, "alice")
    kept.copies.discard(loaded)
    assert kept.files == []


async def test_what_a_killed_process_has_half_loaded_is_removed(kept: Kept) -> None:
    (kept.path / "mirror-1.mdb").write_bytes(b"half")
    await kept.load("alice")
    assert kept.files == ["mirror-1"]
    assert kept.found("alice")


async def test_a_load_that_has_lost_many_users_is_refused_unless_it_was_ordered(kept: Kept) -> None:
    await kept.load("alice", "bob", "carol")
    with pytest.raises(PurgeRefused) as refused:
        await kept.load("alice")
    assert (refused.value.count, refused.value.total) == (2, 3)
    assert kept.found("bob")
    kept.copies.rebuild_ordered.set()
    await kept.load("alice")
    assert not kept.found("bob")
    assert not kept.copies.rebuild_ordered.is_set()
    assert kept.files == ["mirror-2"]


async def test_one_user_may_always_be_lost(kept: Kept) -> None:
    await kept.load("alice", "bob", "carol")
    await kept.load("alice", "bob")
    assert not kept.found("carol")


async def test_a_copy_is_taken_up_again(kept: Kept) -> None:
    await kept.load("alice")
    kept.copies.close()
    kept.copies.open()
    assert kept.copies.writer is not None
    assert kept.copies.status().users == 1
    assert kept.copies.status().reloads == 1  # the one before


async def test_a_copy_with_other_settings_is_not_taken_up(kept: Kept) -> None:
    await kept.load("alice")
    kept.copies.close()
    other = Kept(kept.path, dataclasses.replace(SETTINGS, base="dc=other"))
    other.copies.open()
    assert other.copies.writer is None
    other.copies.close()
    kept.copies.open()


async def test_a_second_process_is_refused(kept: Kept) -> None:
    with pytest.raises(Unusable, match="another process"):
        Kept(kept.path).copies.open()


async def test_changes_are_counted_and_told(kept: Kept) -> None:
    await kept.load("alice")
    writer, changed, begin = kept.copies.writer, kept.copies.changed, kept.copies.sequence
    assert writer is not None
    kept.copies.applied()
    assert not changed.is_set()
    with writer.transaction() as change:
        change.log("alice", "s2", "", "s1", "")
    kept.copies.applied()
    assert changed.is_set()
    assert not kept.copies.changed.is_set()
    assert kept.copies.status().changes == 1
    told = kept.copies.changes_since(begin, 10)
    assert told is not None
    assert [change.user for change in told] == ["alice"]


async def test_a_swap_is_told_like_a_change_and_belongs_to_another_sequence(kept: Kept) -> None:
    await kept.load("alice")
    changed, begin = kept.copies.changed, kept.copies.sequence
    await kept.load("alice")
    assert changed.is_set()
    assert kept.copies.changes_since(begin, 10) is None
    assert kept.copies.sequence > begin


async def test_a_server_that_was_heard_makes_the_copy_fresh(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.copies.heard()  # without a copy: nothing happens
    kept.copies.applied()
    assert kept.copies.status().last_contact == 0.0
    await kept.load("alice")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 100.0)
    assert kept.copies.status().lag_seconds >= 99.0
    kept.copies.heard()
    assert kept.copies.status().lag_seconds < 1.0
