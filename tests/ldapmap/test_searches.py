"""Searches: one at a time for each name, and answers that are kept."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from ldapmap.entries import Entry
from ldapmap.errors import AmbiguousUser, DirectoryError, Misconfigured, NoRoute, ServerFault, Unavailable, UnknownUser
from ldapmap.searches import Searches
from ldapmap.sections import CacheSettings
from tests.ldapmap.scripted import ALICE, BOB, ManualClock, RecordingMeters, ScriptedDirectory, turns


@dataclass
class Bench:
    settings: CacheSettings
    inner: ScriptedDirectory = field(default_factory=ScriptedDirectory)
    meters: RecordingMeters = field(default_factory=RecordingMeters)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.searches = Searches(self.inner, self.settings, self.meters, self.clock)

    async def find(self, name: str = "alice", *, fresh: bool = False) -> Entry:
        return await self.searches.find(name, fresh=fresh)

    async def fails(self, name: str = "alice", *, fresh: bool = False) -> type[DirectoryError]:
        with pytest.raises(DirectoryError) as caught:
            await self.find(name, fresh=fresh)
        return caught.type

    def begin(self, count: int = 1, *, fresh: bool = False) -> "list[asyncio.Task[Entry]]":
        return [asyncio.ensure_future(self.find(fresh=fresh)) for _ in range(count)]


def bench(**settings: Any) -> Bench:
    return Bench(CacheSettings(**settings))


async def test_with_the_defaults_each_login_searches_once() -> None:
    it = bench()
    for _ in range(3):
        assert await it.find() == ALICE
    assert it.inner.searched == ["alice"] * 3
    assert it.meters.sources == ["live"] * 3


async def test_a_user_found_is_not_searched_for_again_until_the_answer_is_too_old() -> None:
    it = bench(age=10.0)
    assert await it.find() == ALICE
    it.inner.found = BOB
    it.clock.now += 9.9
    assert await it.find() == ALICE
    it.clock.now += 0.1
    assert await it.find() == BOB
    assert it.meters.sources == ["live", "cache", "live"]


async def test_the_age_of_an_answer_counts_from_the_beginning_of_its_search() -> None:
    it = bench(age=10.0)

    def take_long() -> None:
        it.clock.now += 9.0

    it.inner.while_searching = take_long
    await it.find()
    it.clock.now += 1.0
    await it.find()
    assert it.meters.sources == ["live", "live"]


async def test_a_name_of_nobody_is_not_searched_for_again_for_a_while() -> None:
    it = bench(negative_age=5.0)
    it.inner.found = UnknownUser("nobody")
    assert await it.fails() is UnknownUser
    it.inner.found = ALICE
    it.clock.now += 4.9
    assert await it.fails() is UnknownUser
    it.clock.now += 0.1
    assert await it.find() == ALICE
    assert it.meters.sources == ["missing", "missing", "live"]
    assert len(it.inner.searched) == 2


async def test_a_fresh_question_searches_and_its_answer_is_kept() -> None:
    it = bench(age=10.0)
    await it.find()
    it.inner.found = BOB
    assert await it.find(fresh=True) == BOB
    assert await it.find() == BOB
    assert it.meters.sources == ["live", "live", "cache"]


async def test_a_server_that_says_nothing_leaves_no_trace_in_what_is_kept() -> None:
    it = bench(age=10.0)
    it.inner.found = Unavailable("away")
    assert await it.fails() is Unavailable
    it.inner.found = ALICE
    assert await it.find() == ALICE
    it.inner.found = ServerFault("away")
    assert await it.fails(fresh=True) is ServerFault
    assert await it.find() == ALICE
    assert it.meters.sources == ["live", "cache"]


@pytest.mark.parametrize("answer", [AmbiguousUser("two"), NoRoute("none"), Misconfigured("not UTF-8")])
async def test_any_other_answer_of_a_server_makes_the_former_one_void(answer: DirectoryError) -> None:
    it = bench(age=10.0)
    await it.find()
    it.inner.found = answer
    assert await it.fails(fresh=True) is type(answer)
    assert it.searches.outdated("alice") is None
    assert await it.fails() is type(answer)


async def test_an_outdated_answer_is_there_for_as_long_as_wanted() -> None:
    it = bench(stale_age=100.0)
    assert it.searches.outdated("alice") is None
    await it.find()
    it.clock.now += 99.9
    assert it.searches.outdated("alice") == ALICE
    it.clock.now += 0.1
    assert it.searches.outdated("alice") is None
    assert it.meters.sources == ["live", "stale"]


async def test_that_nobody_had_a_name_counts_later_only_if_wanted() -> None:
    for age, known in ((0.0, False), (100.0, True)):
        it = bench(stale_negative_age=age)
        it.inner.found = UnknownUser("nobody")
        await it.fails()
        it.clock.now += 50.0
        if known:
            with pytest.raises(UnknownUser):
                it.searches.outdated("alice")
        else:
            assert it.searches.outdated("alice") is None
        assert it.meters.sources == ["missing"] * (1 + known)


async def test_all_who_ask_for_the_same_name_share_one_search() -> None:
    it = bench()
    it.inner.hold = asyncio.Event()
    tasks = it.begin(5)
    await turns()
    it.inner.hold.set()
    assert await asyncio.gather(*tasks) == [ALICE] * 5
    assert len(it.inner.searched) == 1
    assert it.meters.sources == ["live"] * 5
    await it.find()
    assert len(it.inner.searched) == 2, "but not with those who ask when it is over"


async def test_all_who_share_a_search_hear_how_it_failed() -> None:
    it = bench(negative_age=0.0)
    it.inner.found = UnknownUser("nobody")
    it.inner.hold = asyncio.Event()
    tasks = it.begin(3)
    await turns()
    it.inner.hold.set()
    heard = await asyncio.gather(*tasks, return_exceptions=True)
    assert [(type(one), str(one)) for one in heard] == [(UnknownUser, "nobody")] * 3
    assert len({id(one) for one in heard}) == 3, "each its own, or their tracebacks would grow together"
    assert len(it.inner.searched) == 1


async def test_one_of_those_who_wait_may_leave() -> None:
    it = bench()
    it.inner.hold = asyncio.Event()
    first, second, third = it.begin(3)
    await turns()
    second.cancel()
    await turns()
    assert second.cancelled()
    it.inner.hold.set()
    assert [await first, await third] == [ALICE, ALICE]
    assert len(it.inner.searched) == 1


async def test_when_the_one_who_searches_leaves_another_goes_on_for_all() -> None:
    it = bench()
    it.inner.hold = asyncio.Event()
    first, second, third = it.begin(3)
    await turns()
    first.cancel()
    await turns()
    assert first.cancelled()
    it.inner.hold.set()
    assert [await second, await third] == [ALICE, ALICE]
    assert len(it.inner.searched) == 2


async def test_a_fresh_question_does_not_join_a_search_that_began_before_it() -> None:
    it = bench(age=10.0)
    it.inner.hold = asyncio.Event()
    (old,) = it.begin()
    await turns()
    it.clock.now += 1.0
    it.inner.found = BOB
    (fresh,) = it.begin(fresh=True)
    await turns()
    it.inner.hold.set()
    assert await fresh == BOB
    assert await old == ALICE
    assert await it.find() == BOB, "the one that began later is kept, whichever ended last"
