"""What is next for a user: never on two backends that live, and never waiting for what will not come."""

from __future__ import annotations

from director.actions import AskDrained
from director.hints import Changed, encode
from director.moves import MoveSettings
from director.record import Hold, Record
from director.votes import VoteSettings
from tests.director.world import SHARDS, Session, World, at_once, shard


def stubborn(world: World, user: str = "alice", node: int = 0) -> Session:
    """A session that finds no quiet moment to end in."""
    world.nodes[node].workers[0].stubborn = True
    session = world.nodes[node].login(user)
    world.run_dry()
    return session


# --- the first session -----------------------------------------------------------------------------------------------


def test_a_user_who_is_nowhere_gets_what_goes_first() -> None:
    alice = World().login("alice")
    assert (alice.backend, alice.why, alice.epoch) == ("a", "priority", 1)


def test_a_user_who_is_assigned_by_another_node_follows() -> None:
    world = World(2)
    world.put("alice", Record("b", "s1", 7))
    alice = world.nodes[1].login("alice")
    world.run_dry()
    assert (alice.backend, alice.why, alice.epoch) == ("b", "sticky", 7)


def test_nobody_is_let_in_when_no_backend_may_be_used() -> None:
    world = World()
    for backend in ("a", "b"):
        world.say(backend, "offline")
    assert world.login("alice").refused == "no_backend"
    assert world.record("alice") is None


def test_a_shard_that_goes_while_a_login_waits_is_refused() -> None:
    world = World()
    world.node.start(absent=[1])
    alice = world.login("alice")
    world.arrange(SHARDS[1])
    world.wait(3.0)
    assert alice.refused == "no_shard"


def test_when_the_store_has_lost_a_user_the_newest_session_says_where() -> None:
    world = World()
    alice = world.login("alice")
    world.forget()
    world.wait(1.0)
    assert world.record("alice") == Record("a", "s1", 1, holds=(Hold("n0/1", 1),))
    assert alice.kicked == ""


def test_who_is_moved_without_having_been_anywhere_is_assigned_to_the_target() -> None:
    world = World()
    world.move("alice", "b")
    assert world.record("alice") == Record("b", "s1", 1, pinned=True)


def test_a_move_that_is_aborted_before_the_store_has_answered_assigns_nobody() -> None:
    world = World()
    backend = world.node.core.fleet.backend("b")
    assert backend is not None
    world.node.do(world.node.core.move("alice", backend, world.node.now))
    world.abort("move alice")
    assert world.record("alice") is None
    assert not world.node.core.names()
    assert not len(world.node.core.mover.moves)


# --- moves -----------------------------------------------------------------------------------------------------------


def test_a_move_waits_until_the_last_session_on_the_other_node_has_ended() -> None:
    world = World(2)
    world.wait(1.0)
    there = stubborn(world, node=1)
    here = world.login("alice")
    world.move("alice", "b")
    assert (here.kicked, here.at_once) == ("moved", False)
    assert there.kicked == "moved"
    waiting = world.login("alice")
    world.wait(1.0)
    assert waiting.backend == ""
    world.logout(there)
    world.wait(1.0)
    assert waiting.backend == "b"


def test_who_waits_too_long_for_a_move_is_told_to_come_back() -> None:
    world = World(assign_wait=5.0)
    stubborn(world)
    world.move("alice", "b")
    waiting = world.login("alice", worker=1)
    world.wait(6.0)
    assert waiting.refused == "waited"


def test_a_move_that_takes_too_long_is_undone() -> None:
    world = World(moves=MoveSettings(move_timeout=5.0))
    there = stubborn(world)
    world.move("alice", "b")
    waiting = world.login("alice", worker=1)
    world.wait(6.0)
    assert (waiting.backend, there.backend, world.assigned("alice")) == ("a", "a", "a")


def test_another_order_replaces_the_target() -> None:
    world = World(shards=[shard("s1", "a", "b", "c")])
    there = stubborn(world)
    targets = sorted({"a", "b", "c"} - {there.backend})
    world.move("alice", targets[0])
    world.move("alice", targets[1])
    world.logout(there)
    assert world.assigned("alice") == targets[1]


def test_an_order_to_stay_ends_a_move() -> None:
    world = World()
    there = stubborn(world)
    world.move("alice", "b")
    world.move("alice", "a")
    record = world.record("alice")
    assert record is not None
    assert (record.backend, record.target, record.pinned) == ("a", "", True)
    assert there.backend == "a"


def test_a_backend_that_dies_while_its_user_is_moved_is_not_waited_for() -> None:
    world = World()
    stubborn(world)
    world.move("alice", "b")
    waiting = world.login("alice", worker=1)
    world.kill_backend("a")
    world.wait(5.0)
    assert waiting.backend == "b"


def test_a_target_that_may_not_be_used_any_more_ends_the_move() -> None:
    world = World()
    stubborn(world)
    world.move("alice", "b")
    world.say("b", "offline")
    waiting = world.login("alice", worker=1)
    assert waiting.backend == "a"
    (job,) = (job for job in world.node.core.mover.moves.progress() if job.job == "move alice")
    assert job.over == {"refused": 1}
    assert "offline" in job.unmoved["alice"]


def test_a_move_that_ends_when_both_backends_have_failed_leads_to_a_third() -> None:
    world = World(shards=[shard("s1", a=1, b=2, c=3, d=4)])
    stubborn(world)
    world.move("alice", "b")
    for backend in ("a", "b"):
        world.hang_backend(backend)
    world.wait(6.0)
    assert world.assigned("alice") == "c"


def test_a_move_that_ends_when_nothing_is_left_leaves_the_user_there() -> None:
    world = World(votes=VoteSettings(max_ejected_percent=100))
    stubborn(world)
    world.move("alice", "b")
    for backend in ("a", "b"):
        world.hang_backend(backend)
    world.wait(6.0)
    record = world.record("alice")
    assert record is not None
    assert record.target == ""


def test_a_move_to_a_backend_that_is_out_is_refused() -> None:
    world = World()
    world.kill_backend("b")
    world.wait(5.0)
    alice = world.login("alice")
    world.move("alice", "b")
    assert (alice.kicked, world.assigned("alice")) == ("", "a")
    assert world.node.core.mover.moves.progress()[-1].over == {"refused": 1}


def test_what_a_backend_said_of_one_move_does_not_count_for_the_next() -> None:
    world = World(checks_drained=True)
    alice = world.login("alice")
    node = world.node
    node.do(node.core.drained_said("alice", "b", True, node.now))
    world.lingering = {"alice"}
    world.move("alice", "b")
    world.wait(1.0)
    assert alice.kicked == "moved"
    assert world.assigned("alice") == "a"


def test_a_move_that_somebody_left_without_finishing_is_finished() -> None:
    world = World()
    world.put("alice", Record("a", "s1", 3, target="b", target_shard="s1"))
    assert world.login("alice").backend == "b"


def test_a_backend_is_asked_once_whether_the_sessions_have_ended() -> None:
    world = World(checks_drained=True)
    world.lingering = {"alice"}
    alice = world.login("alice")
    world.node.workers[0].stubborn = True
    world.move("alice", "b")
    world.node.logout(alice)
    world.node.todo.popleft()()
    waiting = world.node.login("alice", worker=1)
    for _ in range(2):
        world.node.todo.rotate(1)
        world.node.todo.popleft()()
    world.run_dry()
    assert sum(isinstance(action, AskDrained) for action in world.node.done) == 1
    assert waiting.backend == ""


def test_who_belongs_elsewhere_and_was_on_a_dead_backend_waits_for_nothing() -> None:
    world = World(votes=VoteSettings(max_ejected_percent=100))
    alice = world.login("alice")
    world.hang_backend("a")
    world.hang_backend("b")
    world.wait(4.0)
    again = world.login("alice", "s2", preferred="c", worker=1)
    assert (again.backend, alice.kicked) == ("c", "backend down")


# --- a user who is somewhere -----------------------------------------------------------------------------------------


def test_a_user_who_belongs_to_another_shard_now_goes_there_with_the_next_login() -> None:
    world = World()
    world.logout(world.login("alice"))
    again = world.login("alice", "s2", preferred="c")
    assert (again.backend, again.shard) == ("c", "s2")


def test_a_user_of_another_shard_that_has_nothing_to_give_stays() -> None:
    world = World()
    world.logout(world.login("alice"))
    for backend in ("c", "d"):
        world.say(backend, "standby")
    assert world.login("alice", "s2").backend == "a"


def test_a_user_of_another_shard_whose_backend_is_down_does_not_wait_for_it() -> None:
    world = World()
    stubborn(world)
    world.hang_backend("a")
    world.wait(3.0)
    world.random = 1.0
    again = world.login("alice", "s2", preferred="c", worker=1)
    assert again.backend == "c"


def test_a_backend_that_has_gone_from_its_shard_serves_nobody() -> None:
    world = World()
    world.put("alice", Record("old", "s1", 1))
    assert world.login("alice").backend == "a"


def test_failover_smears_the_kicks() -> None:
    world = World(kick_spread=10.0)
    alice = world.login("alice")
    world.wait(60.0, step=5.0)
    world.hang_backend("a")
    world.wait(4.0)
    assert world.node.core.fleet.standing("a") == "out"
    assert alice.kicked == ""
    world.wait(6.0)
    assert (alice.kicked, alice.at_once) == ("backend down", True)
    assert world.assigned("alice") == "b"


def test_a_session_that_may_still_be_logging_in_is_not_left_waiting_for_a_dead_backend() -> None:
    world = World(kick_spread=1000.0)
    alice = world.login("alice")
    world.hang_backend("a")
    world.wait(4.0)
    assert (alice.kicked, alice.at_once) == ("backend down", True)


def test_a_user_who_comes_back_loses_the_old_sessions_at_once() -> None:
    world = World(kick_spread=1000.0)
    alice = world.login("alice")
    world.wait(60.0, step=5.0)
    world.hang_backend("a")
    world.wait(4.0)
    again = world.login("alice", worker=1)
    assert (again.backend, again.why) == ("b", "failover")
    assert (alice.kicked, alice.at_once) == ("backend down", True)


def test_who_cannot_go_anywhere_else_is_told_so() -> None:
    world = World(shards=[shard("s1", "a")], votes=VoteSettings(max_ejected_percent=100))
    world.logout(world.login("alice"))
    world.hang_backend("a")
    world.wait(4.0)
    assert world.login("alice").refused == "no_backend"
    world.backends["a"].up = True
    world.wait(5.0)
    assert world.login("alice").backend == "a"


def test_a_backend_that_has_failed_but_cannot_be_spared_is_tried_once() -> None:
    world = World(votes=VoteSettings(max_ejected_percent=0))
    world.login("alice")
    world.hang_backend("a")
    world.wait(4.0)
    assert world.node.core.fleet.standing("a") == "down"
    second = world.login("alice", worker=1)
    assert (second.failed, second.refused) == ("a", "no_backend")


def test_who_has_just_failed_waits_while_others_are_let_in() -> None:
    world = World()
    world.wait(1.0)
    first = world.login("alice")
    world.node.unreachable.add("a")
    failing = world.node.login("alice")
    while not failing.failed:
        world.step()
    world.node.unreachable.clear()
    world.run_dry()
    assert (first.backend, failing.backend) == ("a", "a")


def test_who_is_still_on_an_offline_backend_is_moved_with_the_next_login() -> None:
    world = World(2)
    there = world.nodes[1].login("alice")
    world.run_dry()
    at_once(world.store.set_admin("a", "offline"))
    world.wait(1.0)
    again = world.login("alice", worker=1)
    world.wait(1.0)
    assert (there.kicked, again.backend) == ("moved", "b")


def test_standby_without_a_partner_keeps_its_users() -> None:
    world = World(shards=[shard("s1", "a")])
    world.logout(world.login("alice"))
    world.say("a", "standby")
    assert world.login("alice").backend == "a"


def test_sessions_on_another_backend_that_lives_are_ended_before_anybody_is_let_in() -> None:
    world = World(assign_wait=2.0)
    old = world.login("alice")
    world.put("alice", Record("b", "s1", 5))
    world.node.do(world.node.core.heard(encode(Changed("n1/1", ["alice"])), world.node.now))
    world.node.todo.popleft()()
    world.node.todo.popleft()()
    waiting = world.node.login("alice", worker=1)
    world.node.todo.popleft()()
    while len(world.node.workers[0].inbox) == 0:
        world.node.todo.popleft()()
    assert waiting.backend == ""
    world.pass_time(2.5)
    world.node.workers[0].inbox.clear()
    world.run_dry()
    assert waiting.refused == "waited"
    assert old.backend == "a"


def test_a_hold_does_not_outlive_sessions_on_a_backend_that_is_down() -> None:
    world = World()
    world.login("alice")
    world.kill_backend("a")
    world.kill_backend("b")
    world.wait(4.0)
    world.notice_dead()
    world.run_dry()
    assert not world.holders("alice")


def test_a_hold_does_not_outlive_a_login_that_could_not_be_served() -> None:
    world = World(2)
    world.wait(2.0)
    alice = world.login("alice")
    world.node.unreachable.add("a")
    world.wait(4.0)
    assert world.node.core.fleet.standing("a") == "alone"
    waiting = world.login("alice", worker=1)
    world.logout(alice)
    assert not world.holders("alice")
    world.wait(4.0)
    assert waiting.refused == "unreachable"


def test_nobody_is_failed_over_from_a_backend_that_a_node_uses_of_which_nothing_is_known_yet() -> None:
    world = World(2)
    world.node.unreachable.add("a")
    there = world.nodes[1].login("alice")
    world.run_dry()
    here = world.login("alice")
    assert world.node.core.fleet.standing("a") == "out", "the other node's vote has not been asked for yet"
    assert (there.backend, here.backend, here.refused) == ("a", "", "")
    world.wait(4.0)
    assert world.node.core.fleet.standing("a") == "alone"
    assert (here.refused, there.kicked) == ("unreachable", "")
