"""A directory whose answers are kept."""

from typing import Any

import pytest

from ldapmap.cached import CachedDirectory
from ldapmap.directory import Directory
from ldapmap.errors import DirectoryError, InvalidName, Misconfigured, NoRoute, ServerFault, Unavailable, UnknownUser
from ldapmap.sections import CacheSettings
from ldapmap.settings import DirectorySettings
from tests.ldapmap.scripted import ALICE, BOB, ManualClock, RecordingMeters, ScriptedDirectory


class Bench:
    def __init__(self, **cache: Any) -> None:
        self.inner, self.meters, self.clock = ScriptedDirectory(), RecordingMeters(), ManualClock()
        settings = DirectorySettings(kind="ldap", servers=("ldap://x",), base="dc=x", cache=CacheSettings(**cache))
        self.directory: Directory = CachedDirectory(self.inner, settings, self.meters, clock=self.clock)

    async def fails(self, name: str, *, fresh: bool = False) -> type[DirectoryError]:
        with pytest.raises(DirectoryError) as caught:
            await self.directory.find(name, fresh=fresh)
        return caught.type


async def test_every_spelling_of_a_name_is_one_name() -> None:
    it = Bench(age=10.0)
    for typed in ("alice", "ALICE", "Alice+folder"):
        assert await it.directory.find(typed) == ALICE
    assert it.inner.searched == ["alice"]


async def test_a_name_that_breaks_a_rule_is_not_searched_for() -> None:
    it = Bench()
    assert await it.fails("a\nb") is InvalidName
    assert it.inner.searched == []


@pytest.mark.parametrize("silence", [Unavailable("the queue is full"), ServerFault("gone")])
@pytest.mark.parametrize("fresh", [False, True])
async def test_while_no_server_answers_a_user_is_the_one_found_last(silence: DirectoryError, fresh: bool) -> None:
    it = Bench(stale_age=100.0)
    await it.directory.find("alice")
    it.inner.found = silence
    it.clock.now += 99.0
    assert await it.directory.find("alice", fresh=fresh) == ALICE
    assert await it.fails("bob", fresh=fresh) is type(silence)
    it.clock.now += 1.0
    assert await it.fails("alice", fresh=fresh) is type(silence)
    assert it.meters.sources == ["live", "stale"]


async def test_a_server_is_asked_before_an_old_answer_is_taken() -> None:
    it = Bench(stale_age=100.0)
    await it.directory.find("alice")
    it.inner.found = BOB
    assert await it.directory.find("alice") == BOB
    assert it.meters.sources == ["live", "live"]


@pytest.mark.parametrize("answer", [Misconfigured("not UTF-8"), NoRoute("no shard")])
async def test_an_entry_that_cannot_be_understood_is_not_replaced_by_what_it_was(answer: DirectoryError) -> None:
    it = Bench(stale_age=100.0)
    await it.directory.find("alice")
    it.inner.found = answer
    assert await it.fails("alice") is type(answer)
    it.inner.found = Unavailable("away")
    assert await it.fails("alice") is Unavailable


async def test_who_was_nobody_is_told_to_come_back_later_unless_the_settings_say_otherwise() -> None:
    for age, told in ((0.0, Unavailable), (100.0, UnknownUser)):
        it = Bench(negative_age=5.0, stale_negative_age=age)
        it.inner.found = UnknownUser("nobody")
        assert await it.fails("alice") is UnknownUser
        it.inner.found = Unavailable("away")
        it.clock.now += 6.0
        assert await it.fails("alice") is told
