"""Users are moved by order, by the directory and home again, and stay where an operator wants them."""

from __future__ import annotations

from typing import Any

import pytest

from director.failback import FailbackSettings
from director.moves import MoveSettings
from director.record import Hold, Record
from director.votes import VoteSettings
from tests.director.world import SHARDS, World, shard

SOON: dict[str, Any] = {"failback": FailbackSettings(failback_after=5.0), "votes": VoteSettings(ramp=0.0)}


def outage(world: World, backend: str = "a") -> None:
    """A backend goes and does not return yet."""
    world.kill_backend(backend)
    world.notice_dead()
    world.wait(5.0)


def names(world: World) -> list[str]:
    """The jobs there have been."""
    return [job.job for job in world.node.core.mover.moves.progress()]


# --- orders ----------------------------------------------------------------------------------------------------------


def test_a_move_that_would_be_one_too_many_is_told_and_not_begun() -> None:
    world = World(moves=MoveSettings(max_moving=1))
    for user in ("alice", "bob"):
        world.node.workers[0].stubborn = True
        world.login(user)
        world.move(user, "b")
    assert names(world) == ["move alice"]
    assert any("max_moving" in note for note in world.node.notes)


def test_nobody_is_moved_while_the_store_is_away() -> None:
    world = World()
    alice = world.login("alice")
    world.node.cut = True
    world.wait(0.5)
    world.move("alice", "b")
    assert alice.kicked == ""
    assert any("not begun, for the store is away" in note for note in world.node.notes)


def test_a_dry_drain_says_who_would_go_where_and_moves_nobody() -> None:
    world = World()
    alice = world.login("alice")
    world.put("bob", Record("a", "gone", 1))
    job, wanted = world.node.core.drain("a", world.node.now, dry=True)
    world.node.do(wanted)
    world.run_dry()
    survey = world.node.core.mover.surveys[job]
    assert (survey.users, survey.sessions, survey.to, survey.complete) == (2, 1, {"b": 1, "": 1}, True)
    assert alice.kicked == ""


def test_a_drain_that_the_store_broke_off_says_so() -> None:
    world = World()
    world.node.cut = True
    job, wanted = world.node.core.drain("a", world.node.now, dry=False)
    world.node.do(wanted)
    world.run_dry()
    survey = world.node.core.mover.surveys[job]
    assert (survey.done, survey.complete) == (True, False)


def test_a_target_that_is_in_no_shard_any_more_ends_the_move() -> None:
    world = World()
    world.node.workers[0].stubborn = True
    world.login("alice")
    world.move("alice", "b")
    world.arrange(shard("s1", a=1), SHARDS[1])
    world.abort("move alice")
    assert world.login("alice", worker=1).backend == "a"


# --- the directory ---------------------------------------------------------------------------------------------------


def test_a_user_who_prefers_another_backend_goes_there() -> None:
    world = World()
    alice = world.login("cyd", "s2", preferred="c")
    assert alice.backend == "c"
    world.reroute("cyd", "s2", "d")
    assert (alice.kicked, world.assigned("cyd")) == ("moved", "d")


@pytest.mark.parametrize(("said", "preferred"), [("s1", ""), ("s1", "a"), ("s1", "nowhere"), ("s9", ""), ("s2", "c")])
def test_a_user_stays_when_there_is_nowhere_better_to_go(said: str, preferred: str) -> None:
    world = World()
    alice = world.login("alice")
    for backend in ("c", "d"):
        world.say(backend, "offline")
    world.reroute("alice", said, preferred)
    assert (alice.kicked, world.assigned("alice")) == ("", "a")


def test_a_preferred_backend_that_may_not_be_used_is_not_gone_to() -> None:
    world = World()
    world.login("cyd", "s2", preferred="c")
    world.say("d", "standby")
    world.reroute("cyd", "s2", "d")
    assert world.assigned("cyd") == "c"


def test_a_route_of_somebody_who_is_nowhere_moves_nobody() -> None:
    world = World()
    world.reroute("alice", "s2", "c")
    assert world.record("alice") is None
    assert not world.node.core.names()


# --- home again ------------------------------------------------------------------------------------------------------


def test_users_go_home_when_it_has_been_up_for_long_enough() -> None:
    world = World(**SOON)
    outage(world)
    alice = world.login("alice")
    assert alice.backend == "b"
    world.backends["a"].up = True
    world.wait(4.0)
    assert alice.kicked == ""
    world.wait(6.0)
    assert (alice.kicked, world.assigned("alice")) == ("moved", "a")
    assert not len(world.node.core.mover.failback)


def test_users_without_sessions_go_home_too() -> None:
    world = World(**SOON)
    outage(world)
    world.logout(world.login("alice"))
    world.backends["a"].up = True
    world.wait(10.0)
    assert world.assigned("alice") == "a"


def test_a_pinned_user_is_not_sent_home() -> None:
    world = World(**SOON)
    world.login("alice")
    world.move("alice", "b")
    world.wait(20.0)
    assert world.assigned("alice") == "b"


def test_a_user_who_is_there_already_is_pinned_by_an_order_to_go_there() -> None:
    world = World(**SOON)
    outage(world)
    alice = world.login("alice")
    world.move("alice", "b")
    assert alice.kicked == ""
    world.backends["a"].up = True
    world.wait(20.0)
    assert (alice.kicked, world.assigned("alice")) == ("", "b")


def test_failback_waits_for_the_gate_and_holds_the_returned_backend_back() -> None:
    world = World(gated=["a"], **SOON)
    outage(world)
    alice = world.login("alice")
    world.behind = {"a"}
    world.backends["a"].up = True
    world.wait(20.0)
    assert world.login("bob").backend == "b"
    assert alice.kicked == ""
    world.behind.clear()
    world.wait(20.0)
    assert alice.kicked == "moved"
    assert world.login("dan").backend == "a"


def test_of_a_backend_without_partners_nobody_asks_whether_it_has_caught_up() -> None:
    world = World(shards=(shard("s1", "a"),), gated=["a"], **SOON)
    outage(world)
    world.behind = {"a"}
    world.backends["a"].up = True
    world.wait(20.0)
    assert world.node.core.mover.failback.closed() == frozenset()


def test_a_user_who_does_not_leave_is_tried_again_later() -> None:
    world = World(
        failback=FailbackSettings(failback_after=5.0, again_after=20.0),
        votes=VoteSettings(ramp=0.0),
        moves=MoveSettings(move_timeout=5.0),
    )
    outage(world)
    world.node.workers[0].stubborn = True
    alice = world.login("alice")
    world.backends["a"].up = True
    world.wait(20.0)
    assert world.assigned("alice") == "b"
    world.logout(alice)
    world.wait(30.0)
    assert world.assigned("alice") == "a"


def test_a_user_who_prefers_a_backend_goes_home_to_it_and_stays() -> None:
    world = World(**SOON)
    other = world.login("cyd", "s2").backend
    wished = ({"c", "d"} - {other}).pop()
    outage(world, wished)
    alice = world.login("alice", "s2", preferred=wished)
    for user in (f"user{number}" for number in range(20)):
        world.logout(world.login(user, "s2", preferred=wished))
    assert alice.backend == other
    world.backends[wished].up = True
    world.wait(60.0)
    assert {world.assigned(f"user{number}") for number in range(20)} == {wished}


def test_users_of_a_dead_node_are_not_sent_away_from_the_backend_they_prefer() -> None:
    world = World(2, **SOON)
    world.wait(1.0)
    users = [f"user{number}" for number in range(20)]
    for user in users:
        world.nodes[1].login(user, "s2", preferred="c")
    world.run_dry()
    world.nodes[1].alive = False
    world.wait(60.0)
    assert {world.assigned(user) for user in users} == {"c"}


def test_the_same_holds_for_sessions_that_a_new_director_finds() -> None:
    world = World(**SOON)
    sessions = [world.login(f"user{number}", "s2", preferred="c") for number in range(20)]
    world.node.start()
    world.wait(60.0)
    assert not any(session.kicked for session in sessions)


def test_a_user_whose_shard_is_not_known_has_no_home() -> None:
    world = World(**SOON)
    world.put("alice", Record("a", "gone", 1, holds=(Hold("n0/1", 1),)))
    world.node.start()
    world.wait(20.0)
    assert world.assigned("alice") == "a"
    assert not len(world.node.core.mover.failback)


def test_a_user_who_had_to_wait_for_a_turn_to_be_moved_is_pinned_all_the_same() -> None:
    world = World(moves=MoveSettings(move_parallel=1))
    world.node.workers[0].stubborn = True
    world.login("alice")
    world.logout(world.login("bob", worker=1))
    world.move("alice", "b")
    world.move("bob", "b")
    world.abort("move alice")
    assert world.record("bob") == Record("b", "s1", 2, pinned=True)
