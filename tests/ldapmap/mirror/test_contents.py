"""What entries become: users with their names, shards with their backends, and who is forgotten and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldapmap.mirror.contents import Contents, Shards, Users, purge
from ldapmap.mirror.errors import PurgeRefused
from ldapmap.mirror.reader import Reader
from ldapmap.mirror.records import key_of
from ldapmap.mirror.store import Writer
from ldapmap.settings import DirectorySettings, DomainSettings, ShardEntrySettings
from ldapmap.values import Values
from tests.ldapmap.mirror.provider import BASE, SETTINGS, dn_of, id_of

THESE = b"these settings"


class Mirrored:
    """A store, its users and its shards."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.forgotten: list[str] = []
        self.users = Users(SETTINGS, 0, forget=self.forgotten.append)
        self.shards = Shards(ShardEntrySettings(base="ou=shards"))
        self._seen = writer.sequence

    def settings(self, settings: DirectorySettings, number: int = 0) -> None:
        self.users = Users(settings, number, forget=self.forgotten.append)

    def put(self, number: int, *names: str, shard: str = "s1", dn: bytes | None = None, **more: list[bytes]) -> None:
        values: dict[bytes, list[bytes]] = {name.encode(): value for name, value in more.items()}
        if names:
            values |= {b"uid": [names[0].encode()], b"mail": [name.encode() for name in names[1:]]}
        if shard:
            values[b"mailhost"] = [shard.encode()]
        self._put(self.users, number, values, dn)

    def put_shard(self, number: int, name: str, *backends: str) -> None:
        values = {b"cn": [name.encode()], b"vestibulebackend": [backend.encode() for backend in backends]}
        self._put(self.shards, number, values)

    def delete(self, contents: Contents, number: int) -> None:
        with self.writer.transaction() as change:
            contents.delete(change, id_of(number))

    def find(self, name: str, number: int = 0) -> str:
        reader = Reader(self.writer.path, fingerprint=THESE)
        entry = reader.find(key_of(number, name))
        reader.close()
        return "nobody" if entry is None else entry.user

    def told(self) -> list[tuple[str, ...]]:
        """The changes logged since this was asked last, without their sequence."""
        changes = self.writer.changes_since(self._seen, 100)
        assert changes is not None
        self._seen = self.writer.sequence
        return [tuple(change[1:]) for change in changes]

    def _put(self, contents: Contents, number: int, values: Values, dn: bytes | None = None) -> None:
        with self.writer.transaction() as change:
            contents.put(change, id_of(number), dn_of(number) if dn is None else dn, values)


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Mirrored]:
    writer = Writer(tmp_path / "mirror-1.mdb", fingerprint=THESE)
    writer.finish_load()
    yield Mirrored(writer)
    writer.close(clean=True)


# --- users ---


def test_what_users_are_asked_for(mirrored: Mirrored) -> None:
    assert mirrored.users.wanted == ("uid", "mailHost", "mail")


def test_a_new_user_is_told_and_forgotten(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann", "a@x")
    assert mirrored.find("a@x") == "ann"
    assert mirrored.told() == [("ann", "s1", "", "", "", "")]
    assert mirrored.forgotten == ["ann"]


def test_any_message_forgets_but_only_a_change_is_told(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    mirrored.put(1, "ann")
    mirrored.put(1, "ann", shard="s2")
    assert mirrored.told()[1:] == [("ann", "s2", "", "s1", "", "")]
    assert mirrored.forgotten == ["ann"] * 3


def test_where_the_directory_tells_password_changes_only_those_forget(mirrored: Mirrored) -> None:
    mirrored.settings(replace(SETTINGS, attributes=replace(SETTINGS.attributes, password_changed="pwdChangedTime")))
    mirrored.put(1, "ann", pwdchangedtime=[b"1"])
    mirrored.put(1, "ann", pwdchangedtime=[b"1"])
    assert mirrored.forgotten == ["ann"]
    mirrored.put(1, "ann", pwdchangedtime=[b"2"])
    assert mirrored.forgotten == ["ann"] * 2
    assert len(mirrored.told()) == 1


def test_a_change_that_is_no_route_is_not_told(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    mirrored.put(1, "ann", dn=b"cn=moved")
    mirrored.put(1, "ann", "a@x", dn=b"cn=moved")
    assert len(mirrored.told()) == 1


def test_a_renamed_user_is_told_as_one_gone_and_one_new(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    mirrored.put(1, "eve")
    assert mirrored.told()[1:] == [("ann", "", "", "s1", "", ""), ("eve", "s1", "", "", "", "")]
    assert mirrored.forgotten == ["ann", "ann", "eve"]


def test_a_deleted_user_is_told_and_forgotten(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    mirrored.delete(mirrored.users, 1)
    mirrored.delete(mirrored.users, 1)
    assert mirrored.told()[1:] == [("ann", "", "", "s1", "", "")]
    assert mirrored.forgotten == ["ann", "ann"]


def test_two_users_of_one_name_are_not_told_as_moves(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    mirrored.put(2, "ann", shard="s2")
    mirrored.delete(mirrored.users, 2)
    assert mirrored.told() == [("ann", "s1", "", "", "", "")]
    assert mirrored.forgotten == ["ann"] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shard": ""}, "no mailHost"),
        ({"mailhost": [b"a", b"b"], "shard": ""}, "2 values"),
        ({"dn": b"cn=\xff"}, "codec"),
        ({"dn": b"cn=\0"}, "NUL"),
    ],
)
def test_who_has_no_route_is_no_user_any_more(mirrored: Mirrored, change: dict[str, Any], reason: str) -> None:
    mirrored.put(1, "ann")
    mirrored.put(1, "ann", **change)
    assert mirrored.find("ann") == "nobody"
    assert reason in mirrored.users.unusable_reason
    assert mirrored.told()[1:] == [("ann", "", "", "s1", "", "")]
    assert mirrored.forgotten == ["ann", "ann"]
    assert (mirrored.writer.users, mirrored.writer.unusable) == (0, 1)


def test_who_has_no_name_that_fits_is_unusable(mirrored: Mirrored) -> None:
    mirrored.put(1, "x" * 600)
    mirrored.put(2)
    assert (mirrored.writer.users, mirrored.writer.unusable) == (0, 2)


def test_in_a_load_nobody_is_told_or_forgotten(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "mirror-1.mdb", fingerprint=THESE)
    mirrored = Mirrored(writer)
    mirrored.put(1, "ann")
    writer.finish_load()
    assert mirrored.find("ann") == "ann"
    assert (mirrored.told(), mirrored.forgotten) == ([], [])
    writer.close(clean=True)


def test_users_who_log_in_with_a_domain_are_told_with_it(mirrored: Mirrored) -> None:
    domains = (
        DomainSettings(names=("x.example", "y.example"), base="dc=other", local_part=True),
        DomainSettings(names=("z.example",), base="dc=other"),
    )
    mirrored.settings(replace(SETTINGS, domain=domains), number=1)
    mirrored.put(1, "ann")
    assert mirrored.forgotten == ["ann", "ann@x.example"]
    assert [user for user, *_ in mirrored.told()] == mirrored.forgotten
    assert (mirrored.find("ann", 1), mirrored.find("ann", 0)) == ("ann", "nobody")


# --- shards ---


def test_a_shard_is_stored_and_told_when_it_changes(mirrored: Mirrored) -> None:
    assert mirrored.shards.wanted == ("cn", "vestibuleBackend")
    mirrored.put_shard(1, "s1", "mb1a", "mb1b weight=2")
    mirrored.put_shard(1, "s1", "mb1a", "mb1b weight=2")
    stored = json.loads(mirrored.writer.shards()["s1"])
    assert [backend["name"] for backend in stored["backends"]] == ["mb1a", "mb1b"]
    assert mirrored.told() == [("", "", "", "", "", "s1")]
    mirrored.put_shard(1, "s1", "mb1a")
    mirrored.delete(mirrored.shards, 1)
    mirrored.delete(mirrored.shards, 1)
    assert mirrored.told() == [("", "", "", "", "", "s1")] * 2
    assert mirrored.writer.shards() == {}


def test_a_renamed_shard_is_told_by_both_names(mirrored: Mirrored) -> None:
    mirrored.put_shard(1, "s1", "mb1")
    mirrored.put_shard(1, "s2", "mb1")
    assert [name for *_, name in mirrored.told()] == ["s1", "s1", "s2"]
    assert list(mirrored.writer.shards()) == ["s2"]


@pytest.mark.parametrize(
    ("name", "backend", "reason"),
    [
        ("s1", "mb1 what", "setting=value"),
        ("", "mb1", "name"),
        ("s" * 300, "mb1", "too long"),
        ("s1", "mb\x011", "control character"),
    ],
)
def test_a_shard_that_cannot_be_understood_is_told_and_stays_as_it_was(
    mirrored: Mirrored, name: str, backend: str, reason: str
) -> None:
    mirrored.put_shard(1, "s1", "mb1")
    mirrored.put_shard(1, name, backend)
    assert reason in mirrored.shards.unusable_reason
    assert "mb1" in mirrored.writer.shards()["s1"]


def test_the_entry_that_was_first_says_what_a_shard_is(mirrored: Mirrored) -> None:
    mirrored.put_shard(1, "s1", "mb1")
    mirrored.put_shard(2, "s1", "mb2")
    assert "another entry" in mirrored.shards.unusable_reason
    assert "mb1" in mirrored.writer.shards()["s1"]


# --- purging ---


@pytest.mark.parametrize(("limit", "gone"), [(100.0, 10), (50.0, 5), (41.0, 5), (1.0, 1), (0.0, 0)])
def test_as_many_may_vanish_as_the_limit_says_rounded_up(mirrored: Mirrored, limit: float, gone: int) -> None:
    for number in range(10):
        mirrored.put(number, f"u{number}")
        mirrored.put_shard(number, f"s{number}", "mb")
    for contents in (mirrored.users, mirrored.shards):
        with mirrored.writer.transaction() as change:
            assert purge(contents, change, {id_of(number) for number in range(gone, 10)}, limit) == gone
            if gone < 10:
                with pytest.raises(PurgeRefused, match=f"{10 - gone} of {10 - gone}"):
                    purge(contents, change, set(), min(limit, 50.0))
    assert mirrored.writer.users == len(mirrored.writer.shards()) == 10 - gone


def test_the_base_is_as_it_was(mirrored: Mirrored) -> None:
    mirrored.put(1, "ann")
    with mirrored.writer.transaction() as change:
        assert list(mirrored.users.ids(change)) == [id_of(1)]
    assert dn_of(1).decode().endswith(BASE)
