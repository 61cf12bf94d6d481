"""What the director of a node does with what it is told, as workers and operators see it."""

from __future__ import annotations

import pytest

from director.actions import Probe, Publish, Scan, Send, Swap
from director.core import Core
from director.door import LINGER
from director.guard import MARK
from director.hints import Admin, KickAll, Voted, encode
from director.limits import LimitSettings
from director.record import Hold, Record
from director.settings import DirectorSettings
from director.shards import Shards
from director.store import SWAPPED, Node, Snapshot
from director.votes import VoteSettings
from director.wire import (
    Announce,
    Announced,
    Assign,
    Attempt,
    Catalogue,
    Connected,
    Failed,
    Passed,
    Refuse,
    Release,
    Welcome,
)
from tests.director.world import HOME, SHARDS, World, shard

# --- workers ---------------------------------------------------------------------------------------------------------


def test_a_worker_is_told_the_life_of_the_node_and_where_the_backends_are() -> None:
    core = Core("n0/1", DirectorSettings(), Shards(SHARDS), workers=1, now=0.0)
    welcome, catalogue = core.joined("w", 0, 0.0)
    assert isinstance(welcome, Send)
    assert welcome.message == Welcome(1, "n0/1")
    assert isinstance(catalogue, Send)
    assert isinstance(catalogue.message, Catalogue)
    assert [place.name for place in catalogue.message.backends] == ["a", "b", "c", "d"]


def test_logins_wait_until_all_workers_have_said_what_they_have() -> None:
    world = World()
    world.node.start(absent=[1])
    alice = world.login("alice")
    assert alice.backend == ""
    world.node.introduce(world.node.workers[1])
    world.run_dry()
    assert alice.backend == "a"


def test_logins_wait_no_longer_than_three_seconds_for_a_worker() -> None:
    world = World()
    world.node.start(absent=[1])
    alice = world.login("alice")
    world.wait(2.5)
    assert alice.backend == ""
    world.wait(0.5)
    assert alice.backend == "a"


def test_a_user_whose_sessions_are_not_all_announced_yet_is_not_let_go() -> None:
    world = World()
    first, second = world.login("alice"), world.login("alice", worker=1)
    world.node.start(absent=[1])
    world.run_dry()
    world.logout(first)
    record = world.record("alice")
    assert record is not None
    assert record.held_by("n0/1")
    world.node.introduce(world.node.workers[1])
    world.logout(second)
    assert not world.holders("alice")


def test_a_store_that_returns_does_not_let_logins_in_before_all_workers_have_come() -> None:
    world = World()
    world.kill_backend("a")
    world.wait(5.0)
    there = world.login("alice", worker=1)
    assert there.backend == "b"
    world.backends["a"].up = True
    world.forget()
    world.node.start(absent=[1])
    back = world.login("alice")
    world.node.cut = True
    world.pass_time(0.5)
    world.node.cut = False
    world.wait(1.0)
    assert back.backend == ""
    world.node.introduce(world.node.workers[1])
    world.run_dry()
    assert (back.backend, there.kicked) == ("b", "")


def test_a_worker_that_comes_again_keeps_its_sessions_and_asks_again_for_who_waits() -> None:
    world = World()
    alice = world.login("alice")
    worker = world.node.workers[0]
    bob = world.node.login("bob")
    world.node.disconnect(worker)
    world.pass_time(0.5)
    world.node.introduce(worker)
    world.run_dry()
    world.wait(3.0)
    assert (alice.backend, bob.backend) == ("a", "a")
    assert world.node.core.roster.sessions["a"] == 2


def test_a_kick_that_a_worker_did_not_hear_is_repeated_when_it_comes_again() -> None:
    world = World()
    alice = world.login("alice")
    worker = world.node.workers[0]
    world.node.disconnect(worker)
    world.node.do(world.node.core.kick("alice", world.node.now)[1])
    world.node.introduce(worker)
    world.run_dry()
    assert alice.kicked == "kicked"
    assert world.node.core.books.counts.kicks == {"kicked": 1}


def test_sessions_that_ended_while_the_worker_was_away_are_released() -> None:
    world = World()
    alice = world.login("alice")
    worker = world.node.workers[0]
    world.node.disconnect(worker)
    world.node.logout(alice)
    world.node.introduce(worker)
    world.run_dry()
    assert not list(world.node.core.roster.leases())
    world.wait(LINGER)
    assert not world.holders("alice")
    assert not world.node.core.names()


def test_sessions_of_a_worker_that_stays_away_count_for_a_second() -> None:
    world = World()
    world.login("alice")
    world.login("bob", worker=1)
    world.node.disconnect(world.node.workers[0])
    world.wait(0.5)
    assert world.node.core.names() == ["alice", "bob"]
    world.wait(0.5)
    assert [lease.user for lease in world.node.core.roster.leases()] == ["bob"]
    world.wait(LINGER)
    assert world.node.core.names() == ["bob"]
    assert not world.holders("alice")


def test_what_is_said_twice_counts_once() -> None:
    world = World()
    worker, core = world.node.workers[0], world.node.core
    alice = world.login("alice")
    world.node.do(core.said(worker.name, Announced(), world.node.now))
    world.node.assign(worker, worker.number(alice), alice)
    world.node.do(core.announced(worker.name, [_announce(1, "alice", "a")], False, world.node.now))
    world.node.do(core.said(worker.name, Release(99), world.node.now))
    world.run_dry()
    assert core.roster.sessions["a"] == len(core.guard) == 1


def test_a_session_that_is_announced_late_is_believed() -> None:
    world = World()
    core, worker = world.node.core, world.node.workers[0]
    world.node.do(core.announced(worker.name, [_announce(7, "alice", "b")], True, world.node.now))
    world.run_dry()
    assert world.assigned("alice") == "b"


def test_who_is_not_known_any_more_is_no_matter() -> None:
    core = World().node.core
    assert not core.swapped("nobody", SWAPPED, 1.0)
    assert not core.was_read("nobody", None, 1.0)
    assert not core.drained_said("nobody", "a", True, 1.0)


# --- who may not come ------------------------------------------------------------------------------------------------


def test_a_shard_that_nobody_knows_is_refused() -> None:
    assert World().login("alice", "s9").refused == "no_shard"


def test_a_node_takes_so_many_users_and_no_more() -> None:
    world = World(max_assignments=1)
    assert world.login("alice").backend == "a"
    assert world.login("bob").refused == "full"
    assert world.login("alice").backend == "a"


@pytest.mark.parametrize(
    ("limits", "users", "addresses", "reason"),
    [
        ({"sessions_per_user": 1}, ("alice", "alice"), (HOME, "198.51.100.7"), "limit_user"),
        ({"sessions_per_address": 1}, ("alice", "bob"), (HOME, HOME), "limit_address"),
        ({"sessions_per_pair": 1}, ("alice", "alice"), (HOME, HOME), "limit_pair"),
    ],
)
def test_one_session_too_many_is_refused_with_the_reason(
    limits: dict[str, int], users: tuple[str, str], addresses: tuple[str, str], reason: str
) -> None:
    world = World(limits=LimitSettings(**limits))  # type: ignore[arg-type]
    first = world.login(users[0], address=addresses[0])
    second = world.login(users[1], address=addresses[1])
    assert (first.backend, second.refused) == ("a", reason)
    world.logout(first)
    assert world.login(users[1], address=addresses[1]).backend == "a"


def test_sessions_on_other_nodes_count() -> None:
    world = World(2, limits=LimitSettings(sessions_per_user=2))
    world.wait(2.0)
    assert world.login("alice").backend == "a"
    other = world.nodes[1].login("alice")
    world.run_dry()
    assert other.backend == "a"
    world.wait(15.0)
    assert world.login("alice").refused == "limit_user"


def test_failed_logins_make_everybody_wary_and_other_nodes_hear_of_them() -> None:
    world = World(2)
    world.wait(2.0)
    node, worker = world.node, world.node.workers[0]
    told = node.core.said(worker.name, Failed(1, "alice", HOME), node.now)
    assert isinstance(told[0], Send)
    for _ in range(5):
        node.do(node.core.said(worker.name, Failed(1, "alice", HOME), node.now))
    node.do(node.core.said(worker.name, Connected(HOME), node.now))
    world.wait(0.5)
    other = world.nodes[1]
    (answer,) = other.core.said(other.workers[0].name, Attempt(2, "alice", "198.51.100.7"), other.now)
    assert isinstance(answer, Send)
    assert not node.core.said(worker.name, Passed("alice", HOME), node.now)
    assert not other.core.heard(MARK + b"nonsense", other.now)


# --- backends --------------------------------------------------------------------------------------------------------


def test_a_backend_is_probed_and_when_it_is_down_operators_and_other_nodes_are_told() -> None:
    world = World(2)
    world.kill_backend("a")
    world.wait(5.0)
    assert any(isinstance(action, Probe) for action in world.node.done)
    assert any("backend a is out" in note for note in world.node.notes)
    assert world.node.core.ejections["a"] == 1
    world.backends["a"].up = True
    world.wait(5.0)
    assert any(note.startswith("backend a is up (was") for note in world.node.notes)


def test_when_a_backend_hangs_young_sessions_end_at_once_for_they_may_be_logins_and_old_ones_bit_by_bit() -> None:
    world = World(kick_spread=20.0)
    old = world.login("alice")
    world.wait(10.0)
    young = world.login("bob")
    assert (old.backend, young.backend) == ("a", "a")
    world.hang_backend("a")
    world.wait(5.0)
    assert (old.kicked, young.kicked) == ("", "backend down")
    world.wait(10.0)
    assert old.kicked == "backend down"


def test_a_session_whose_login_failed_waits_for_the_probe_and_gets_the_partner() -> None:
    world = World()
    world.kill_backend("a")
    alice = world.login("alice")
    assert (alice.failed, alice.backend, alice.why) == ("a", "b", "failover")


def test_a_session_whose_login_failed_is_sent_there_again_when_the_probe_is_good() -> None:
    world = World()
    world.node.unreachable.add("a")
    alice = world.node.login("alice")
    while not alice.failed:
        world.step()
    world.node.unreachable.clear()
    world.run_dry()
    assert (alice.failed, alice.backend) == ("a", "a")


def test_a_backend_that_only_this_node_cannot_reach_is_unreachable_after_three_seconds() -> None:
    world = World(2)
    world.wait(2.0)
    world.node.unreachable.add("a")
    alice = world.login("alice")
    world.wait(2.5)
    assert alice.refused == ""
    world.wait(1.0)
    assert alice.refused == "unreachable"
    other = world.nodes[1].login("alice")
    world.run_dry()
    assert other.backend == "a"


def test_what_another_node_says_of_a_backend_counts_before_the_store_says_it() -> None:
    world = World(2, heartbeat=1000.0, node_timeout=3000.0)
    node = world.node
    node.beat()
    node.unreachable.add("a")
    alice = world.login("alice")
    node.do(node.core.heard(encode(Voted("n1/1", "a", False)), node.now))
    world.run_dry()
    assert alice.backend == "b"


# --- the store -------------------------------------------------------------------------------------------------------


def test_the_second_session_of_a_user_joins_without_asking_the_store() -> None:
    world = World()
    world.login("alice")
    asked = world.node.asked("alice")
    second = world.login("alice", worker=1)
    assert (second.backend, second.why) == ("a", "sticky")
    assert world.node.asked("alice") == asked == 1


def test_a_store_in_the_same_process_is_asked_without_a_detour() -> None:
    world = World(near=True)
    alice = world.login("alice")
    assert alice.backend == "a"
    assert world.node.asked("alice") == 0
    world.logout(alice)
    assert world.assigned("alice") == "a"


def test_a_restarted_director_drops_what_nobody_announces() -> None:
    world = World()
    world.login("alice")
    world.node.workers[0].sessions.clear()
    world.node.start()
    world.run_dry()
    assert not world.holders("alice")
    assert not world.node.core.names()


def test_a_restarted_director_drops_it_also_if_the_store_was_away_then() -> None:
    world = World()
    world.login("alice")
    world.node.workers[0].sessions.clear()
    world.node.cut = True
    world.node.start()
    world.run_dry()
    world.node.cut = False
    world.wait(1.0)
    assert not world.holders("alice")


def test_a_search_that_the_store_broke_off_is_done_again() -> None:
    world = World()
    world.put("alice", Record("a", "s1", 1, holds=(Hold("n0/1", 1),)))
    node = world.node
    node.do(node.core.scan_done("strays", False, node.now))
    world.wait(1.0)
    assert not world.holders("alice")


def test_holds_of_a_node_that_died_vanish() -> None:
    world = World(2)
    world.nodes[1].login("alice")
    world.run_dry()
    world.nodes[1].alive = False
    world.wait(5.5)
    assert world.holders("alice") == {"n1/1"}
    world.wait(1.5)
    assert not world.holders("alice")
    assert any("n1/1 is dead" in note for note in world.node.notes)


def test_only_the_first_node_clears_up_after_the_dead() -> None:
    world = World(3)
    world.wait(1.0)
    world.nodes[2].alive = False
    before = [len([a for a in node.done if isinstance(a, Scan)]) for node in world.nodes]
    world.wait(8.0)
    after = [len([a for a in node.done if isinstance(a, Scan)]) for node in world.nodes]
    assert [late - early for late, early in zip(after, before, strict=True)] == [1, 0, 0]


def test_a_record_that_cannot_be_read_is_told_and_passed_over() -> None:
    world = World()
    node = world.node
    node.do(node.core.scanned("strays", [("alice", b"?")], node.now))
    assert node.notes == ["the store has a record of alice that is none"]


def test_while_the_store_is_away_sessions_go_on_and_logins_get_what_all_nodes_would_choose() -> None:
    world = World(2)
    before = world.login("cyd", "s2")
    for node in world.nodes:
        node.cut = True
    world.wait(2.0)
    again = world.login("cyd", "s2")
    here = world.login("dan", "s2")
    there = world.nodes[1].login("dan", "s2")
    world.run_dry()
    assert again.backend == before.backend
    assert here.backend == there.backend != ""
    assert before.kicked == ""
    assert any("the store does not answer" in note for note in world.node.notes)
    assert world.node.core.roster.unsure == {"dan"}


def test_a_login_that_waited_for_the_store_is_let_in_when_it_goes_away() -> None:
    world = World()
    world.node.cut = True
    alice = world.login("alice")
    assert alice.backend == "a"


def test_when_the_store_is_back_it_is_right() -> None:
    world = World(2)
    world.nodes[1].cut = True
    world.wait(2.0)
    world.put("alice", Record("b", "s1", 3, holds=(Hold("n0/1", 3),)))
    alone = world.nodes[1].login("alice")
    world.run_dry()
    assert alone.backend == "a"
    world.nodes[1].cut = False
    world.wait(2.0)
    assert (alone.kicked, alone.at_once) == ("user is on another backend", True)
    assert not world.nodes[1].core.roster.unsure
    assert any("the store is back" in note for note in world.nodes[1].notes)


def test_a_store_that_has_lost_everything_is_told_again() -> None:
    world = World()
    world.kill_backend("a")
    world.wait(5.0)
    alice = world.login("alice")
    assert alice.backend == "b"
    world.backends["a"].up = True
    world.forget()
    world.wait(3.0)
    assert world.assigned("alice") == "b"
    assert alice.kicked == ""


def test_a_node_that_was_silent_for_so_long_that_it_counts_as_dead_looks_everybody_up() -> None:
    world = World(2)
    world.wait(2.0)
    sleeper = world.nodes[1]
    stale = sleeper.login("alice")
    world.run_dry()
    assert stale.backend == "a"
    sleeper.asleep = world.silent = True
    world.wait(8.0)
    world.move("alice", "b")
    world.wait(2.0)
    assert world.assigned("alice") == "b"
    sleeper.asleep = False
    world.wait(2.0)
    assert stale.kicked == "user is on another backend"


def test_a_node_that_returns_holds_its_users_though_others_still_take_it_for_dead() -> None:
    world = World(2)
    world.wait(2.0)
    sleeper = world.nodes[1]
    sleeper.login("alice")
    world.run_dry()
    sleeper.asleep = True
    world.wait(8.0)
    sleeper.asleep = False
    sleeper.beat()
    world.run_dry()
    assert world.holders("alice") == {"n1/1"}
    world.login("alice")
    assert world.holders("alice") == {"n0/1"}
    world.wait(5.0)
    assert world.holders("alice") == {"n0/1", "n1/1"}


def test_messages_that_are_not_ours_change_nothing() -> None:
    world = World()
    node = world.node
    assert not node.core.heard(b"\xff", node.now)
    assert not node.core.heard(encode(KickAll("n0/1", "alice")), node.now)


def test_an_announcement_of_who_waits_changes_nothing() -> None:
    world = World()
    world.node.start(absent=[1])
    world.login("alice")
    worker, core = world.node.workers[0], world.node.core
    world.node.do(core.announced(worker.name, [_announce(1, "alice", "a")], False, world.node.now))
    assert not core.roster.sessions.total()


def test_a_backend_that_has_not_caught_up_is_asked_about() -> None:
    world = World(gated=["a"], votes=VoteSettings(ramp=0.0))
    world.kill_backend("a")
    world.wait(5.0)
    world.behind = {"a"}
    world.backends["a"].up = True
    world.wait(5.0)
    assert world.login("alice").backend == "b"
    world.behind.clear()
    world.wait(11.0)
    assert world.login("bob").backend == "a"


# --- the directory ---------------------------------------------------------------------------------------------------


def test_a_user_who_belongs_to_another_shard_is_moved_there() -> None:
    world = World()
    alice = world.login("alice")
    world.reroute("alice", "s2", "c")
    assert alice.kicked == "moved"
    assert world.assigned("alice") == "c"
    assert not world.node.core.names()


def test_a_user_without_sessions_is_moved_too() -> None:
    world = World()
    world.logout(world.login("alice"))
    world.reroute("alice", "s2", "d")
    assert world.assigned("alice") == "d"


def test_who_has_gone_from_the_directory_stays_where_the_sessions_are() -> None:
    world = World()
    alice = world.login("alice")
    world.reroute("alice", "", "")
    assert alice.kicked == ""


def test_a_route_that_changed_while_the_store_was_away_is_followed_when_it_is_back() -> None:
    world = World()
    alice = world.login("alice")
    world.node.cut = True
    world.wait(1.0)
    world.reroute("alice", "s2", "c")
    assert alice.kicked == ""
    world.node.cut = False
    world.wait(2.0)
    assert alice.kicked == "moved"
    assert world.assigned("alice") == "c"


def test_other_shards_are_told_to_the_workers_and_their_users_are_moved() -> None:
    world = World()
    here, gone = world.login("alice"), world.login("bob")
    world.logout(gone)
    world.arrange(shard("s1", b=1, e=2), SHARDS[1])
    assert world.node.core.fleet.backend("a") is None
    assert here.kicked == "moved"
    assert (world.assigned("alice"), world.assigned("bob")) == ("b", "b")


def test_users_of_a_shard_that_has_gone_stay_where_they_are() -> None:
    world = World()
    here, gone = world.login("alice"), world.login("bob")
    world.logout(gone)
    world.arrange(SHARDS[1])
    assert here.kicked == ""
    assert world.assigned("bob") == "a"


# --- operators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["alice", HOME, "a"])
def test_a_kick_ends_the_sessions_of_a_user_an_address_or_a_backend_on_all_nodes(target: str) -> None:
    world = World(2)
    here, there = world.login("alice"), world.nodes[1].login("alice")
    world.run_dry()
    other = world.login("cyd", "s2", address="198.51.100.7")
    number, wanted = world.node.core.kick(target, world.node.now)
    world.node.do(wanted)
    world.run_dry()
    assert number == 1
    assert (here.kicked, here.at_once, there.kicked, other.kicked) == ("kicked", False, "kicked", "")


def test_a_session_is_kicked_once() -> None:
    world = World()
    world.node.workers[0].stubborn = True
    world.login("alice")
    for _ in range(2):
        world.node.do(world.node.core.kick("alice", world.node.now)[1])
    assert world.node.core.books.counts.kicks == {"kicked": 1}


def test_standby_keeps_who_is_there_and_gets_nobody_else() -> None:
    world = World(2)
    before = world.login("alice")
    world.say("a", "standby")
    assert (world.login("alice").backend, before.kicked) == ("a", "")
    assert world.login("bob").backend == "b"
    other = world.nodes[1].login("dan")
    world.run_dry()
    assert other.backend == "b"
    assert world.store.admin == {"a": "standby"}


def test_offline_moves_everybody_and_gives_nobody() -> None:
    world = World(2)
    here, there = world.login("alice"), world.nodes[1].login("bob")
    gone = world.login("dan")
    world.logout(gone)
    world.say("a", "offline")
    world.wait(1.0)
    assert (here.kicked, there.kicked) == ("moved", "moved")
    assert {world.assigned(user) for user in ("alice", "bob", "dan")} == {"b"}
    assert world.login("alice").backend == "b"
    world.say("a", "online")
    assert world.store.admin == {}


def test_the_word_of_an_operator_on_another_node_counts_at_once_and_after_a_restart() -> None:
    world = World(2)
    node = world.node
    node.do(node.core.heard(encode(Admin("n1/1", "a", "offline")), node.now))
    assert node.core.fleet.admin_state("a") == "offline"
    world.say("a", "standby")
    node.start()
    assert node.core.fleet.admin_state("a") == "standby"


def test_flush_forgets_who_has_no_sessions() -> None:
    world = World()
    for user in ("alice", "bob", "cyd"):
        session = world.login(user)
        if user != "cyd":
            world.logout(session)
    world.node.do(world.node.core.flush("alice", world.node.now))
    world.run_dry()
    assert [world.assigned(user) for user in ("alice", "bob", "cyd")] == ["", "a", "a"]
    world.node.do(world.node.core.flush("", world.node.now))
    world.run_dry()
    assert [world.assigned(user) for user in ("alice", "bob", "cyd")] == ["", "", "a"]
    assert world.node.core.mover.surveys["flush"].users == 1


def test_flush_of_a_user_with_sessions_changes_nothing() -> None:
    world = World()
    alice = world.login("alice")
    world.node.do(world.node.core.flush("alice", world.node.now))
    world.run_dry()
    assert (world.assigned("alice"), alice.kicked) == ("a", "")


def test_a_drain_moves_everybody_who_is_on_the_backend() -> None:
    world = World()
    alice = world.login("alice")
    job, wanted = world.node.core.drain("a", world.node.now, dry=False)
    world.node.do(wanted)
    world.run_dry()
    assert (alice.kicked, world.assigned("alice")) == ("moved", "b")
    assert world.node.core.mover.surveys[job].sessions == 1


def test_offline_kicks_who_cannot_be_moved_anywhere() -> None:
    world = World(shards=[shard("s1", "a")])
    alice = world.login("alice")
    world.say("a", "offline")
    assert alice.kicked == "kicked"
    assert world.login("alice").refused == "no_backend"


def test_a_drain_puts_the_backend_on_standby_but_a_dry_one_does_nothing() -> None:
    world = World()
    alice = world.login("alice")
    _, wanted = world.node.core.drain("a", world.node.now, dry=True)
    world.node.do(wanted)
    world.run_dry()
    assert (alice.kicked, world.node.core.fleet.admin_state("a")) == ("", "online")
    world.node.do(world.node.core.drain("a", world.node.now, dry=False)[1])
    assert world.node.core.fleet.admin_state("a") == "standby"


def test_a_move_waits_until_the_backend_says_that_the_sessions_have_ended() -> None:
    world = World(checks_drained=True)
    world.lingering = {"alice"}
    world.login("alice")
    world.move("alice", "b")
    world.wait(2.0)
    assert world.assigned("alice") == "a"
    world.lingering.clear()
    world.wait(2.0)
    assert world.assigned("alice") == "b"


def test_an_aborted_move_lets_waiting_logins_go_on() -> None:
    world = World()
    world.node.workers[0].stubborn = True
    world.login("alice")
    world.move("alice", "b")
    waiting = world.login("alice", worker=1)
    assert waiting.backend == ""
    world.node.do(world.node.core.abort("move alice", world.node.now))
    world.run_dry()
    assert waiting.backend == "a"


# --- the same without a world ----------------------------------------------------------------------------------------


def test_hints_about_records_are_told_only_where_there_are_other_nodes() -> None:
    core = Core("n0/1", DirectorSettings(), Shards(SHARDS), workers=1, now=0.0)
    core.beat(Snapshot("store", (Node("n0/1", "n0/1", 0.0),), {}, ()), 0.0)
    core.joined("w", 0, 0.0)
    core.announced("w", [], True, 0.0)
    (swap,) = core.said("w", Assign(1, "alice", "s1", "", HOME, "imap", "s"), 0.0)
    assert isinstance(swap, Swap)
    assert (swap.user, swap.expected, swap.ttl) == ("alice", None, None)
    assert not any(isinstance(action, Publish) for action in core.swapped("alice", SWAPPED, 0.0))


def test_a_refusal_says_what_is_wrong() -> None:
    core = Core("n0/1", DirectorSettings(), Shards(SHARDS), workers=1, now=0.0)
    (told,) = core.said("w", Assign(1, "alice", "s9", "", HOME, "imap", "s"), 0.0)
    assert told == Send("w", Refuse(1, "no_shard", "no shard is called 's9'"))


# --- helpers ---------------------------------------------------------------------------------------------------------


def _announce(lease: int, user: str, backend: str) -> Announce:
    return Announce(lease, user, backend, "s1", 1, HOME, "imap", f"s{lease}", 0.0)
