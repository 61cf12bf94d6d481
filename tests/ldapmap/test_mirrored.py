"""A directory with a mirror: whose word counts when."""

from typing import Any, cast

import pytest

from ldapmap.directory import Directory
from ldapmap.domains import Domains
from ldapmap.entries import Entry
from ldapmap.errors import AmbiguousUser, DirectoryError, InvalidName, Misconfigured, Unavailable, UnknownUser
from ldapmap.mirror.routes import Routes
from ldapmap.mirrored import MirroredDirectory
from ldapmap.sections import CacheSettings, DomainSettings
from ldapmap.settings import DirectorySettings
from tests.ldapmap.scripted import ALICE, BOB, ManualClock, RecordingMeters, ScriptedDirectory

MIRRORED = ALICE._replace(shard="as mirrored")


class FakeRoutes:
    """What a mirror knows, without a file."""

    def __init__(self) -> None:
        self.users: dict[tuple[int, str], Entry] = {(0, "alice"): MIRRORED}
        self.loaded = self.fresh = True
        self.closed = False

    def find(self, number: int, name: str) -> Entry | None:
        return self.users.get((number, name)) if self.loaded else None

    def lose(self) -> None:
        self.loaded = self.fresh = False

    def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, *, domain: tuple[DomainSettings, ...] = (), **cache: Any) -> None:
        self.inner, self.meters, self.clock = ScriptedDirectory(), RecordingMeters(), ManualClock()
        self.routes = FakeRoutes()
        settings = DirectorySettings(
            kind="ldap",
            servers=("ldap://x",),
            base="dc=x",
            mirror=True,
            domain=domain,
            cache=CacheSettings(**cache),
        )
        self.directory: Directory = MirroredDirectory(
            self.inner, cast(Routes, self.routes), settings, Domains(settings), self.meters, clock=self.clock
        )

    async def fails(self, name: str = "alice", *, fresh: bool = False) -> type[DirectoryError]:
        with pytest.raises(DirectoryError) as caught:
            await self.directory.find(name, fresh=fresh)
        return caught.type


async def test_a_user_in_the_mirror_is_not_searched_for() -> None:
    it = Bench()
    assert await it.directory.find("Alice") == MIRRORED
    assert (it.inner.searched, it.meters.sources) == ([], ["mirror"])


async def test_a_name_that_breaks_a_rule_is_not_looked_for() -> None:
    it = Bench()
    assert await it.fails("a\nb") is InvalidName


async def test_a_name_that_the_mirror_does_not_have_is_searched_for_once_in_a_while() -> None:
    it = Bench(negative_age=5.0)
    it.inner.found = UnknownUser("nobody")
    assert await it.fails("bob") is UnknownUser
    assert await it.fails("bob") is UnknownUser
    assert it.inner.searched == ["bob"]
    it.clock.now += 5.0
    it.inner.found = BOB
    assert await it.directory.find("bob") == BOB
    assert it.meters.sources == ["missing", "missing", "live"]


async def test_a_user_who_appears_in_the_mirror_is_there_at_once() -> None:
    it = Bench(negative_age=5.0)
    it.inner.found = UnknownUser("nobody")
    assert await it.fails("bob") is UnknownUser
    it.routes.users[0, "bob"] = BOB
    assert await it.directory.find("bob") == BOB


async def test_an_ambiguous_name_is_a_miss_and_the_search_says_what_it_is() -> None:
    it = Bench()
    it.inner.found = AmbiguousUser("two")
    assert await it.fails("bob") is AmbiguousUser
    assert it.meters.sources == []


async def test_nobody_is_unknown_on_the_word_of_the_mirror() -> None:
    it = Bench()
    it.inner.found = Unavailable("away")
    assert await it.fails("bob") is Unavailable


async def test_a_mirror_that_has_lost_its_server_is_asked_after_the_others() -> None:
    it = Bench()
    it.routes.fresh = False
    assert await it.directory.find("alice") == ALICE
    it.inner.found = UnknownUser("deleted meanwhile")
    assert await it.fails() is UnknownUser
    it.clock.now += 60.0
    it.inner.found = Unavailable("away")
    assert await it.directory.find("alice") == MIRRORED
    assert it.meters.sources == ["live", "missing", "stale"]


async def test_a_fresh_answer_is_a_servers_or_if_none_answers_the_mirrors() -> None:
    it = Bench()
    assert await it.directory.find("alice", fresh=True) == ALICE
    it.inner.found = Unavailable("away")
    assert await it.directory.find("alice", fresh=True) == MIRRORED
    it.routes.fresh = False
    assert await it.directory.find("alice", fresh=True) == MIRRORED
    assert it.meters.sources == ["live", "mirror", "stale"]


async def test_an_entry_that_cannot_be_understood_is_not_replaced_by_what_the_mirror_has() -> None:
    it = Bench()
    it.inner.found = Misconfigured("not UTF-8")
    assert await it.fails(fresh=True) is Misconfigured


async def test_without_a_mirror_former_answers_stand_in_for_silent_servers() -> None:
    it = Bench()
    it.routes.lose()
    assert await it.directory.find("alice") == ALICE
    it.inner.found = Unavailable("away")
    assert await it.directory.find("alice") == ALICE
    assert await it.fails("bob") is Unavailable
    assert it.meters.sources == ["live", "stale"]


async def test_who_is_not_in_the_mirror_any_more_does_not_come_back_out_of_the_cache() -> None:
    it = Bench()
    assert await it.directory.find("alice", fresh=True) == ALICE
    it.routes.users.clear()
    it.inner.found = Unavailable("away")
    assert await it.fails() is Unavailable


async def test_users_of_a_domain_are_found_in_its_place_and_seen_from_there() -> None:
    domain = DomainSettings(names=("b.example",), base="dc=b", local_part=True, auth="passthrough")
    it = Bench(domain=(domain,))
    it.routes.users[1, "alice"] = MIRRORED._replace(shard="b")
    there = await it.directory.find("alice@b.example")
    assert (there.user, there.shard, "passthrough" in there.policy) == ("alice@b.example", "b", True)
    it.inner.found = Unavailable("away")
    assert await it.directory.find("alice@b.example", fresh=True) == there
    assert await it.directory.find("alice") == MIRRORED


async def test_the_mirror_is_closed_with_the_directory() -> None:
    it = Bench()
    await it.directory.close()
    assert it.routes.closed
    assert it.inner.life == ["close"]
