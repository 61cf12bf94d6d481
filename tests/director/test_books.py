"""What the store has of users is asked for, believed and written; nobody is forgotten who still needs something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from director.actions import Swap
from director.hints import Changed, encode
from director.record import Hold, Record, begin_move
from director.store import SWAPPED
from tests.director.world import World


def changed(world: World, user: str) -> None:
    """Another node says that a user's record has changed."""
    world.node.do(world.node.core.heard(encode(Changed("n9/1", [user])), world.node.now))


def test_a_hint_makes_a_node_look_at_a_user_it_knows() -> None:
    world = World()
    alice = world.login("alice")
    world.put("alice", Record("b", "s1", 2))
    changed(world, "alice")
    changed(world, "nobody")
    world.run_dry()
    assert alice.kicked == "user is on another backend"
    assert not world.node.asked("nobody")


def test_a_hint_that_comes_while_the_store_is_asked_is_not_lost() -> None:
    world = World()
    alice = world.node.login("alice")
    world.node.todo.popleft()()
    changed(world, "alice")
    world.put("alice", Record("b", "s1", 2))
    world.run_dry()
    assert alice.backend == "b"


def test_a_record_that_cannot_be_read_is_replaced() -> None:
    world = World()
    world.store.swap_now("alice", None, b"nonsense", None)
    assert world.login("alice").backend == "a"
    assert world.assigned("alice") == "a"
    assert any("it is replaced" in note for note in world.node.notes)


def test_an_assignment_outlasts_the_last_session_for_a_while() -> None:
    world = World(stay=60.0)
    world.part(world.login("alice"))
    (*_, swap) = (action for action in world.node.done if isinstance(action, Swap))
    assert swap.ttl == 60.0
    world.wait(59.0, step=1.0)
    assert world.assigned("alice") == "a"
    world.wait(2.0)
    assert world.record("alice") is None


def test_who_comes_back_soon_is_known_and_the_store_is_asked_once() -> None:
    world = World()
    world.part(world.login("alice"))
    before = world.node.asked("alice")
    assert world.login("alice").why == "sticky"
    assert world.node.asked("alice") == before + 1


def test_who_was_moved_by_another_node_meanwhile_is_followed_there() -> None:
    world = World()
    world.part(world.login("alice"))
    world.put("alice", Record("b", "s1", 2, holds=(Hold("n9/1", 2),)))
    assert world.login("alice").backend == "b"


def test_what_is_answered_after_the_store_was_given_up_changes_nothing() -> None:
    world = World()
    world.login("alice")
    node = world.node
    for outcome in (node.core.swapped("alice", SWAPPED, node.now), node.core.was_read("alice", None, node.now)):
        assert not outcome
    node.do(node.core.store_failed("alice", node.now))
    assert node.core.roster.sessions["a"] == 1


def test_a_user_is_unsure_until_the_store_has_confirmed_the_record() -> None:
    world = World()
    world.node.cut = True
    world.wait(0.5)
    alice = world.login("alice")
    assert world.node.core.roster.unsure == {"alice"}
    world.node.cut = False
    world.wait(1.0)
    assert not world.node.core.roster.unsure
    assert (alice.kicked, world.assigned("alice")) == ("", "a")


def test_who_leaves_while_the_store_is_away_is_let_go_when_it_is_back() -> None:
    world = World()
    alice = world.login("alice")
    world.node.cut = True
    world.wait(0.5)
    world.logout(alice)
    assert world.holders("alice")
    world.node.cut = False
    world.wait(1.0)
    assert not world.holders("alice")


def test_a_time_to_look_again_is_not_missed_while_the_store_is_asked() -> None:
    world = World(kick_spread=0.5)
    alice = world.login("alice")
    world.wait(60.0, step=5.0)
    world.hang_backend("a")
    while world.node.core.fleet.standing("a") != "out":
        world.wait(0.25, step=0.25)
    changed(world, "alice")
    world.pass_time(1.0)
    world.run_dry()
    assert alice.kicked == "backend down"


def test_flush_without_a_store_forgets_nobody() -> None:
    world = World()
    world.logout(world.login("alice"))
    world.node.cut = True
    world.wait(0.5)
    world.node.do(world.node.core.flush("alice", world.node.now))
    world.run_dry()
    assert world.assigned("alice") == "a"


def test_flush_without_a_store_forgets_nobody_who_is_not_known_here_either() -> None:
    world = World()
    world.part(world.login("alice"))
    world.node.core.roster.recent.clear()
    world.node.cut = True
    world.wait(0.5)
    world.node.do(world.node.core.flush("alice", world.node.now))
    world.run_dry()
    assert world.assigned("alice") == "a"
    assert not world.node.core.names()


def test_other_nodes_hear_of_a_move_again_and_again_until_it_is_over() -> None:
    world = World(2)
    world.wait(1.0)
    there = world.nodes[1].login("alice")
    world.run_dry()
    world.silent = True
    world.move("alice", "b")
    world.wait(2.0)
    assert there.kicked == ""
    world.silent = False
    world.wait(2.0)
    assert (there.kicked, world.assigned("alice")) == ("moved", "b")


def test_a_near_store_is_believed_and_written_at_once() -> None:
    world = World(near=True)
    world.put("alice", Record("b", "s1", 2))
    alice = world.login("alice")
    assert alice.backend == "b"
    world.put("alice", Record("a", "s1", 3))
    changed(world, "alice")
    world.run_dry()
    assert alice.kicked == "user is on another backend"
    again = world.login("alice")
    world.put("alice", Record("b", "s1", 4))
    world.part(again)
    assert world.assigned("alice") == "b"
    world.node.do(world.node.core.flush("alice", world.node.now))
    assert world.record("alice") is None


def test_an_order_to_move_is_carried_out_though_others_have_changed_the_record_meanwhile() -> None:
    world = World(nodes=2)
    here = world.nodes[0].login("alice")
    world.run_dry()
    there = world.nodes[1].login("alice")
    world.run_dry()
    world.move("alice", "b", node=0)
    world.wait(5.0)
    assert here.kicked == there.kicked == "moved"
    assert world.assigned("alice") == "b"
    assert world.nodes[0].core.mover.moves.progress()[-1].over == {"moved": 1}


@pytest.mark.parametrize("near", [True, False])
def test_who_comes_back_is_where_others_have_moved_the_user_meanwhile(near: bool) -> None:
    world = World(near=near)
    world.part(world.login("alice"))
    world.put("alice", Record("b", "s1", 7))
    assert world.login("alice").backend == "b"


@pytest.mark.parametrize("near", [True, False])
def test_who_leaves_while_others_begin_to_move_the_user_finishes_the_move(near: bool) -> None:
    world = World(near=near)
    alice = world.login("alice")
    record = world.record("alice")
    assert record is not None
    world.put("alice", begin_move(record, "b", "s1"))
    world.part(alice)
    assert world.record("alice") == Record("b", "s1", 2)


def test_who_comes_back_after_the_backend_has_gone_from_the_shard_goes_to_another() -> None:
    world = World(near=True)
    world.logout(world.login("alice"))
    (s1, s2) = world.shards
    world.arrange(replace(s1, backend=s1.backend[1:]), s2)
    world.node.core.roster.recent["alice"] = Record("a", "s1", 1).encode(), Record("a", "s1", 1)
    assert world.login("alice").backend == "b"


def test_a_dead_nodes_hold_goes_when_the_users_next_session_comes() -> None:
    world = World(nodes=2)
    world.nodes[1].login("alice")
    world.run_dry()
    world.nodes[0].login("alice")
    world.run_dry()
    world.nodes[1].alive = False
    world.wait(10.0)
    world.nodes[0].login("alice")
    world.run_dry()
    assert world.holders("alice") == {world.nodes[0].life}
