"""Who comes back soon finds everything as it was; and nobody else has to wait for who does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from director.door import LINGER
from director.record import Hold, Record
from director.wire import Announce
from tests.director.test_desk import Operator, only
from tests.director.world import World


def gone(**how: Any) -> World:
    """Alice has been there."""
    world = World(**how)
    world.wait(world.settings.node_timeout / 2)
    world.logout(world.login("alice"))
    return world


# --- who comes back ---


@pytest.mark.parametrize("near", [True, False])
def test_who_comes_back_within_seconds_is_held_still_and_nobody_is_asked(near: bool) -> None:
    world = gone(near=near)
    asked, record = world.node.asked("alice"), world.record("alice")
    assert world.holders("alice") == {"n0/1"}
    again = world.login("alice")
    assert (again.backend, again.why) == ("a", "sticky")
    assert (world.node.asked("alice"), world.record("alice")) == (asked, record)
    assert world.node.core.roster.present == 1


@pytest.mark.parametrize("near", [True, False])
def test_who_does_not_come_back_is_given_up(near: bool) -> None:
    world = gone(near=near)
    world.wait(LINGER - 0.5)
    assert world.holders("alice")
    world.wait(0.5)
    assert world.assigned("alice") == "a"
    assert not world.holders("alice")
    assert not world.node.core.names()


def test_who_stays_once_more_lingers_once_more() -> None:
    world = gone()
    world.wait(LINGER - 1)
    again = world.login("alice")
    world.wait(2 * LINGER)
    world.logout(again)
    world.wait(LINGER - 1)
    assert world.holders("alice")


def test_the_hold_of_another_node_stays() -> None:
    world = World(2)
    here = world.login("alice")
    world.nodes[1].login("alice")
    world.run_dry()
    world.part(here)
    assert world.holders("alice") == {"n1/1"}
    assert world.record("alice") == Record("a", "s1", 1, holds=(Hold("n1/1", 1),))


def test_a_session_that_is_announced_keeps_who_lingers() -> None:
    world = gone()
    worker, core = world.node.workers[0], world.node.core
    announce = Announce(77, "alice", "a", "s1", 1, "192.0.2.1", "imap", "s77", 0.0)
    world.node.do(core.announced(worker.name, [announce], False, world.node.now))
    world.run_dry()
    world.wait(2 * LINGER)
    assert world.holders("alice")
    assert core.roster.present == 1


@pytest.mark.parametrize("near", [True, False])
def test_an_older_hold_of_this_node_is_replaced(near: bool) -> None:
    world = World(near=near)
    world.part(world.login("alice"))
    old = Record("a", "s1", 2, holds=(Hold("n0/1", 1),))
    world.put("alice", old)
    world.node.core.roster.recent["alice"] = old.encode(), old
    world.login("alice")
    assert world.record("alice") == Record("a", "s1", 2, holds=(Hold("n0/1", 2),))


def test_who_comes_back_to_a_failed_backend_goes_elsewhere() -> None:
    world = gone()
    world.kill_backend("a")
    assert world.login("alice").backend == "b"


def test_who_comes_back_with_another_shard_goes_there() -> None:
    world = gone()
    assert world.login("alice", "s2").backend in ("c", "d")


def test_who_comes_back_when_others_may_have_taken_this_node_for_dead_is_looked_up() -> None:
    world = gone()
    world.put("alice", Record("b", "s1", 2))
    world.time += world.settings.node_timeout / 2
    assert world.login("alice").backend == "b"


def test_what_another_has_written_meanwhile_is_believed() -> None:
    world = gone(near=True)
    world.wait(LINGER)
    world.put("alice", Record("a", "s1", 1, holds=(Hold("n9/1", 1),)))
    again = world.login("alice")
    assert world.holders("alice") == {"n0/1", "n9/1"}
    world.put("alice", Record("a", "s1", 1, holds=(Hold("n0/1", 1), Hold("n8/1", 1))))
    world.part(again)
    assert world.holders("alice") == {"n8/1"}


def test_who_comes_back_before_the_others_know_this_node_is_looked_up() -> None:
    world = World()
    world.logout(world.login("alice"))
    world.put("alice", Record("b", "s1", 2))
    assert world.login("alice").backend == "b"


# --- who lingers counts for nobody, and keeps nobody waiting ---


def test_who_lingers_is_no_session_and_no_user() -> None:
    world = gone()
    operator = Operator(world)
    assert operator.rows("who") == []
    status = operator.ask("status")
    assert (status["users"], status["sessions"]) == (0, 0)
    row = only(operator.rows("backends"), backend="a")
    assert (row["users"], row["sessions"]) == (0, 0)


def test_who_lingers_takes_nobodys_place() -> None:
    world = World(max_assignments=1)
    world.logout(world.login("alice"))
    assert world.login("bob").backend
    assert world.login("alice").refused == "full"


def test_there_is_room_for_so_many_who_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("director.roster.MOST_LINGERING", 1)
    world = gone()
    world.logout(world.login("bob"))
    assert world.holders("alice")
    assert not world.holders("bob")


@pytest.mark.parametrize("near", [True, False])
def test_who_lingers_is_moved_at_once(near: bool) -> None:
    world = gone(near=near)
    world.move("alice", "b")
    assert world.record("alice") == Record("b", "s1", 2, pinned=True)
    assert not world.node.core.names()


def test_who_lingers_where_an_order_wants_the_user_once_more_is_given_up() -> None:
    world = World()
    world.move("alice", "b")
    world.logout(world.login("alice"))
    world.move("alice", "b")
    assert world.record("alice") == Record("b", "s1", 1, pinned=True)
    assert not world.node.core.names()


def test_who_lingers_on_another_node_is_moved_at_once() -> None:
    world = World(2)
    world.wait(1.0)
    there = world.nodes[1].login("alice")
    world.run_dry()
    world.logout(there)
    assert world.holders("alice") == {"n1/1"}
    world.move("alice", "b")
    assert world.record("alice") == Record("b", "s1", 2, pinned=True)


def test_who_lingers_on_a_node_that_hears_nothing_is_moved_within_seconds() -> None:
    world = World(2)
    there = world.nodes[1].login("alice")
    world.run_dry()
    world.logout(there)
    world.silent = True
    world.move("alice", "b")
    here = world.login("alice")
    world.wait(LINGER + 2)
    assert here.backend == "b"


def test_a_drained_backend_is_empty_at_once() -> None:
    world = gone()
    _, wanted = world.node.core.drain("a", world.node.now, dry=False)
    world.node.do(wanted)
    world.run_dry()
    assert world.record("alice") == Record("b", "s1", 2)


@pytest.mark.parametrize("state", ["standby", "offline"])
def test_who_lingers_on_a_backend_about_which_an_operator_says_something_is_given_up(state: str) -> None:
    world = gone()
    world.login("cyd", "s2")
    world.say("a", state)
    assert not world.holders("alice")


def test_who_lingers_on_a_backend_that_fails_is_given_up() -> None:
    world = gone()
    elsewhere = world.login("cyd", "s2", preferred="c")
    world.logout(elsewhere)
    core = world.node.core
    world.hang_backend("a")
    for _ in range(3):
        world.node.do(core.probed("a", "refused", world.node.now))
    world.run_dry()
    assert core.fleet.standing("a") != "up"
    assert not world.holders("alice")
    assert world.holders("cyd")


def test_who_lingers_follows_the_directory_at_once() -> None:
    world = gone()
    world.reroute("alice", "s2", "d")
    assert world.record("alice") == Record("d", "s2", 2)


def test_who_lingers_on_a_backend_that_leaves_the_shard_is_moved() -> None:
    world = gone()
    (s1, s2) = world.shards
    world.arrange(replace(s1, backend=s1.backend[1:]), s2)
    assert world.record("alice") == Record("b", "s1", 2)


@pytest.mark.parametrize("user", ["alice", ""])
def test_who_lingers_can_be_forgotten(user: str) -> None:
    world = gone()
    operator = Operator(world)
    operator.ask("flush", user=user)
    assert world.record("alice") is None
    if not user:
        outcome = operator.desk.outcome("flush")
        assert outcome is not None
        assert outcome["users"] == 1


def test_who_is_held_by_another_node_is_not_forgotten() -> None:
    world = World(2)
    world.nodes[1].login("alice")
    world.run_dry()
    world.logout(world.login("alice"))
    world.node.do(world.node.core.flush("alice", world.node.now))
    world.run_dry()
    assert world.holders("alice") == {"n1/1"}


# --- the end, and other figures ---


def test_a_node_that_ends_gives_up_all_who_linger_and_lets_nobody_linger() -> None:
    world = World()
    bob = world.login("bob")
    world.logout(world.login("alice"))
    world.node.do(world.node.core.ending(world.node.now))
    world.run_dry()
    assert not world.holders("alice")
    world.logout(bob)
    assert not world.holders("bob")


def test_while_the_store_is_away_nobody_is_given_up_who_is_not_found_later() -> None:
    world = gone()
    world.node.cut = True
    world.wait(2 * LINGER)
    assert world.holders("alice")
    world.node.cut = False
    world.wait(1.0)
    assert not world.holders("alice")


@pytest.mark.parametrize(("how", "lingers"), [({"stay": 0.0}, 0.0), ({"assign_wait": 4.0}, 1.0), ({}, LINGER)])
def test_nobody_lingers_for_long_beside_what_others_wait(how: dict[str, Any], lingers: float) -> None:
    world = World(**how)
    world.logout(world.login("alice"))
    user = world.node.core.roster.lingering.get("alice")
    assert (user.lingers_until - world.time if user else 0.0) == lingers
