"""The director gives leases, tells who has to leave, and explains itself."""

from dataclasses import asdict

import pytest

from director import (
    BACKEND_DOWN,
    ROUTE_CHANGED,
    Director,
    DirectorSettings,
    Lease,
    NoBackend,
    NoShard,
    Shards,
)
from tests.director.examples import Clock, Told, ignore, shard_settings

SHARDS = Shards([shard_settings("s1", mb1a=1, mb1b=2), shard_settings("s2", mb2a=1, mb2b=1)])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def director(clock: Clock) -> Director:
    return Director(DirectorSettings(), SHARDS, clock)


async def fail_twice(director: Director, user: str, value: str) -> None:
    """A session that tries again where it failed."""
    for _ in range(2):
        lease = await director.assign(user, value, "", ignore)
        director.report_failure(lease)
        director.release(lease)


# --- leases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["s1", "mb1a.example", "MB1B"])
async def test_a_session_gets_a_lease_in_the_shard_its_entry_names(director: Director, value: str) -> None:
    lease = await director.assign("alice", value, "", ignore)
    assert (lease.user, lease.shard, lease.backend.name, lease.why) == ("alice", "s1", "mb1a", "priority")
    assert not lease.revoked


async def test_a_host_in_no_shard_is_never_connected_to(director: Director) -> None:
    for value in ("", "127.0.0.1", "mb9.example"):
        with pytest.raises(NoShard) as caught:
            await director.assign("alice", value, "", ignore)
        assert caught.value.value == value
        with pytest.raises(NoShard):
            director.explain("alice", value, "")


async def test_the_assignment_outlives_the_session_by_the_clock(director: Director, clock: Clock) -> None:
    director.release(await director.assign("alice", "s1", "mb1b", ignore))
    clock.now += 899.0
    again = await director.assign("alice", "s1", "", ignore)
    assert (again.backend.name, again.why) == ("mb1b", "sticky")
    director.release(again)
    clock.now += 900.0
    assert (await director.assign("alice", "s1", "", ignore)).why == "priority"


def test_assigning_never_suspends(director: Director) -> None:
    with pytest.raises(StopIteration) as finished:
        director.assign("alice", "s1", "", ignore).send(None)
    assert isinstance(finished.value.value, Lease)


# --- revoking ------------------------------------------------------------------------------------------------------


async def test_older_sessions_are_told_when_the_entry_names_another_shard(director: Director) -> None:
    sessions = Told()
    await director.assign("alice", "s1", "", sessions["first"])
    await director.assign("alice", "s1", "", sessions["second"])
    await director.assign("bob", "s1", "", sessions["bob"])
    new = await director.assign("alice", "s2", "", sessions["new"])
    assert new.shard == "s2"
    assert sorted(sessions.told) == [("first", ROUTE_CHANGED), ("second", ROUTE_CHANGED)]


async def test_sessions_are_told_when_their_backend_goes_down_but_not_the_one_that_found_out(
    director: Director,
) -> None:
    sessions = Told()
    await director.assign("alice", "s1", "", sessions["alice"])
    await director.assign("bob", "s1", "mb1b", sessions["bob"])
    finder = await director.assign("carol", "s1", "", sessions["carol"])
    director.report_failure(finder)
    assert not sessions.told
    director.report_failure(finder)
    assert sessions.told == [("alice", BACKEND_DOWN)]
    assert finder.revoked
    director.release(finder)
    again = await director.assign("carol", "s1", "", sessions["carol"])
    assert (again.backend.name, again.why) == ("mb1b", "failover")


async def test_reports_from_revoked_leases_are_out_of_date(director: Director, clock: Clock) -> None:
    late = await director.assign("alice", "s1", "", ignore)
    await fail_twice(director, "bob", "s1")
    assert late.revoked
    clock.now += 10.0
    director.report_failure(late)
    director.report_success(late)
    assert [found.state for found in director.explain("alice", "s1", "").candidates] == ["down", "up"]
    clock.now += 5.0
    assert [found.state for found in director.explain("alice", "s1", "").candidates] == ["trial", "up"]


async def test_a_session_that_released_first_may_still_report(director: Director) -> None:
    sessions = Told()
    await director.assign("alice", "s1", "", sessions["alice"])
    for _ in range(2):
        lease = await director.assign("bob", "s1", "", sessions["bob"])
        director.release(lease)
        director.report_failure(lease)
    assert sessions.told == [("alice", BACKEND_DOWN)]


async def test_success_between_failures_keeps_a_backend_up(director: Director) -> None:
    lease = await director.assign("alice", "s1", "", ignore)
    for _ in range(3):
        director.report_failure(lease)
        director.report_success(lease)
    assert not lease.revoked


async def test_a_revoked_session_may_ask_for_another_lease_at_once(director: Director) -> None:
    replaced: list[Lease] = []

    def log_in_again(_reason: str) -> None:
        with pytest.raises(StopIteration) as finished:
            director.assign("alice", "s1", "", ignore).send(None)
        replaced.append(finished.value.value)

    await director.assign("alice", "s1", "", log_in_again)
    await fail_twice(director, "bob", "s1")
    assert [lease.backend.name for lease in replaced] == ["mb1b"]


async def test_when_all_are_down_logins_are_refused_until_one_may_be_tried(director: Director, clock: Clock) -> None:
    await fail_twice(director, "alice", "s1")
    await fail_twice(director, "alice", "s1")
    with pytest.raises(NoBackend) as caught:
        await director.assign("alice", "s1", "", ignore)
    assert caught.value.shard == "s1"
    assert (await director.assign("alice", "s2", "", ignore)).shard == "s2"
    clock.now += 15.0
    lease = await director.assign("bob", "s1", "", ignore)
    assert lease.backend.name == "mb1a"
    director.report_success(lease)
    assert (await director.assign("carol", "s1", "", ignore)).backend.name == "mb1a"


# --- explaining ----------------------------------------------------------------------------------------------------


async def test_an_explanation_says_what_a_login_would_get(director: Director) -> None:
    decision = director.explain("alice", "mb1b.example", "")
    assert (decision.shard, decision.why) == ("s1", "priority")
    assert [(found.backend.name, found.state, found.retry_in) for found in decision.candidates] == [
        ("mb1a", "up", 0.0),
        ("mb1b", "up", 0.0),
    ]
    lease = await director.assign("alice", "mb1b.example", "", ignore)
    assert decision.chosen == lease.backend


async def test_an_explanation_knows_assignments_and_failures(director: Director, clock: Clock) -> None:
    director.release(await director.assign("alice", "s1", "mb1b", ignore))
    await fail_twice(director, "bob", "s1")
    clock.now += 5.0
    alice, carol = director.explain("alice", "s1", "mb1a"), director.explain("carol", "s1", "")
    assert alice.chosen
    assert carol.chosen
    assert (alice.chosen.name, alice.why) == ("mb1b", "sticky")
    assert (carol.chosen.name, carol.why) == ("mb1b", "failover")
    assert (carol.candidates[0].state, carol.candidates[0].retry_in) == ("down", 10.0)


async def test_an_explanation_says_that_nothing_is_left(director: Director) -> None:
    await fail_twice(director, "alice", "s1")
    await fail_twice(director, "alice", "s1")
    decision = director.explain("alice", "s1", "")
    assert (decision.chosen, decision.why) == (None, None)
    assert [found.state for found in decision.candidates] == ["down", "down"]


async def test_explaining_changes_nothing(director: Director, clock: Clock) -> None:
    await fail_twice(director, "alice", "s1")
    clock.now += 15.0
    assert director.explain("bob", "s1", "") == director.explain("bob", "s1", "")
    assert (await director.assign("bob", "s1", "", ignore)).backend.name == "mb1a"
    assert (await director.assign("carol", "s1", "", ignore)).backend.name == "mb1b"


def test_an_explanation_can_be_turned_into_plain_values(director: Director) -> None:
    candidate = asdict(director.explain("alice", "s2", ""))["candidates"][0]
    assert candidate["state"] == "up"
    assert candidate["backend"]["ports"] == {}
