"""The director's I/O around a core that does as it is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from director import service
from director.actions import (
    Action,
    AskDrained,
    AskGate,
    Count,
    Note,
    Probe,
    Publish,
    Read,
    Scan,
    Send,
    SetAdmin,
    Swap,
    Vote,
)
from director.fleet import Row
from director.roster import Roster
from director.shards import Backend, Shards
from director.store import SWAPPED, Swapped
from director.stores.memory import MemoryStore
from director.wire import (
    VERSION,
    Announce,
    Announced,
    Assign,
    Connected,
    Embargo,
    Grant,
    Hello,
    Kick,
    Refuse,
    Release,
    Wait,
)
from tests.director.distant import Distant
from tests.director.examples import shard_settings
from tests.director.stage import LIFE, PATIENCE, Scripted, running, until

W = "0/1/a"


def assign(lease: int, user: str = "alice") -> Assign:
    return Assign(lease, user, "s1", "", "192.0.2.1", "imap", f"s{lease}")


def announce(lease: int) -> Announce:
    return Announce(lease, "alice", "mb1a", "s1", 1, "192.0.2.1", "imap", f"s{lease}", 1.0)


def grant(worker: str, message: Any) -> Sequence[Action]:
    """A core's whole work, in a test."""
    return [Send(worker, Grant(message.lease, "mb1a", "s1", "hash", 1))] if isinstance(message, Assign) else ()


def distant() -> Distant:
    return Distant(MemoryStore(time.monotonic))


class Measured:
    """Meters that remember."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.waits: list[float] = []

    def store(self, operation: str, answered: bool, seconds: float) -> None:
        if operation != "beat":
            self.seen.append((operation, answered))

    def probed(self, backend: str, good: bool) -> None:
        self.seen.append((backend, good))

    def gate(self, word: str) -> None:
        self.seen.append(("gate", word))

    def assigned(self, seconds: float) -> None:
        self.waits.append(seconds)

    def lagged(self, seconds: float) -> None:
        assert seconds >= 0


# --- workers ---


async def test_what_a_worker_says_is_told_in_order_and_answered_in_one_frame() -> None:
    async with running(Scripted(said=grant)) as stage:
        worker = await stage.worker()
        worker.say(assign(1), assign(2), Release(1), Connected("192.0.2.7"))
        assert [message.lease for message in await worker.frame() if isinstance(message, Grant)] == [1, 2]
        await stage.told(
            ("joined", W, 0),
            ("said", W, assign(1)),
            ("said", W, assign(2)),
            ("said", W, Release(1)),
            ("said", W, Connected("192.0.2.7")),
        )


async def test_a_hello_may_come_together_with_what_follows() -> None:
    async with running(Scripted(said=grant)) as stage:
        caller = await stage.connect()
        caller.say(Hello(VERSION, W, 3), announce(7), Announced(), assign(8))
        assert len(await caller.frame()) == 1
        await stage.told(("joined", W, 3), ("announced", W, [announce(7)], True), ("said", W, assign(8)))


async def test_announced_sessions_are_told_together() -> None:
    async with running() as stage:
        worker = await stage.worker()
        worker.say(announce(1), announce(2))
        await stage.told(("announced", W, [announce(1), announce(2)], False))
        worker.say(announce(3), Announced())
        await stage.told(("announced", W, [announce(3)], True))


async def test_a_worker_that_goes_is_told() -> None:
    async with running() as stage:
        worker = await stage.worker()
        worker.close()
        await stage.told(("joined", W, 0), ("left", W))
        assert stage.service.workers == []


async def test_a_worker_that_comes_again_has_only_its_last_connection() -> None:
    async with running(Scripted(said=grant)) as stage:
        older = await stage.worker()
        newer = await stage.connect()
        newer.say(Hello(VERSION, W, 0), assign(1))
        assert len(await newer.frame()) == 1
        assert await older.ended()
        await stage.told(("joined", W, 0), ("left", W), ("joined", W, 0), ("said", W, assign(1)))
        assert stage.service.workers == [W]


async def test_workers_are_named_by_their_slots() -> None:
    async with running() as stage:
        await stage.worker("1/7/b", 1)
        await stage.worker("0/9/a", 0)
        assert stage.service.workers == ["0/9/a", "1/7/b"]


async def test_an_error_in_one_message_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def said(worker: str, message: Any) -> Sequence[Action]:
        if message.lease == 2:
            raise RuntimeError("a bug")
        return grant(worker, message)

    async with running(Scripted(said=said)) as stage:
        worker = await stage.worker()
        worker.say(assign(1), assign(2), assign(3))
        assert [message.lease for message in await worker.frame() if isinstance(message, Grant)] == [1, 3]
        assert "a bug" in caplog.text


async def test_an_action_that_fails_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def said(worker: str, message: Any) -> Sequence[Action]:
        return [Publish(b"x" * 70_000), *grant(worker, message)]

    async with running(Scripted(said=said)) as stage:
        worker = await stage.worker()
        worker.say(assign(1))
        assert len(await worker.frame()) == 1
        assert "Publish cannot be done" in caplog.text


async def test_more_connections_than_there_may_be_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_WORKERS", 2)
    async with running() as stage:
        await stage.worker()
        await stage.connect()
        assert await (await stage.connect()).ended()


async def test_what_is_said_to_somebody_who_has_gone_is_forgotten() -> None:
    async with running(Scripted(left=lambda worker: [Send(worker, Kick(1, "moved", False))])) as stage:
        worker, other = await stage.worker(), await stage.worker("1/2/b", 1)
        worker.close()
        await stage.told(("left", W))
        stage.core.reactions["said"] = grant
        other.say(assign(1))
        assert len(await other.frame()) == 1


async def test_sockets_that_accept_no_more_leave_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Scripted(said=grant)) as stage:
        worker = await stage.worker()
        stage.service.stop_accepting()
        with pytest.raises(OSError):
            await stage.connect()
        worker.say(assign(1))
        assert len(await worker.frame()) == 1


async def test_how_long_a_session_waited_for_its_answer_is_measured() -> None:
    meters, held = Measured(), []

    def said(worker: str, message: Any) -> Sequence[Action]:
        if isinstance(message, Assign):
            held.append(message.lease)
            return ()
        return [Send(worker, Grant(held[0], "mb1a", "s1", "hash", 1)), Send(worker, Refuse(held[1], "waited", "", 0))]

    async with running(Scripted(said=said), meters=meters) as stage:
        worker = await stage.worker()
        worker.say(assign(1), assign(2), assign(3))
        await stage.told(("said", W, assign(3)))
        worker.say(Release(3))
        await worker.frame()
        assert len(meters.waits) == 2
        assert all(wait > 0 for wait in meters.waits)


# --- the store ---


async def test_a_store_in_memory_is_asked_at_once_and_in_order() -> None:
    def said(worker: str, message: Any) -> Sequence[Action]:
        return [Swap("alice", None, b"1", None), Read("alice"), Send(worker, Wait(1, 0.0))]

    def swapped(user: str, outcome: Any) -> Sequence[Action]:
        return [Send(W, Wait(2, 0.0))]

    def was_read(user: str, value: bytes | None) -> Sequence[Action]:
        return [Send(W, Wait(3, 0.0))]

    async with running(Scripted(said=said, swapped=swapped, was_read=was_read)) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        assert await worker.frame() == [Wait(1, 0.0)]
        assert await worker.frame() == [Wait(2, 0.0), Wait(3, 0.0)]
        await stage.told(("swapped", "alice", SWAPPED), ("was_read", "alice", b"1"))


async def test_a_long_chain_of_answers_is_no_deep_one() -> None:
    def swapped(user: str, outcome: Any) -> Sequence[Action]:
        number = int(user) + 1
        return [Swap(str(number), None, b"1", None)] if number < 20_000 else [Send(W, Wait(1, 0.0))]

    core = Scripted(said=lambda *_: [Swap("0", None, b"1", None)], swapped=swapped)
    async with running(core) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        assert await worker.frame() == [Wait(1, 0.0)]


async def test_a_distant_store_is_asked_for_many_users_at_the_same_time() -> None:
    store, meters = distant(), Measured()
    actions: list[Action] = [*(Swap(f"user{number}", None, b"1", 60.0) for number in range(100)), Read("user7")]
    async with running(Scripted(said=lambda *_: actions), store, meters=meters) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await until(lambda: len(stage.core.events) == 103)
        assert ("swapped", "user99", Swapped.SWAPPED) in stage.core.events
        assert ("was_read", "user7", b"1") in stage.core.events
        assert meters.seen.count(("swap", True)) == 100


async def test_a_store_that_is_away_is_told_for_each_user() -> None:
    store, meters = distant(), Measured()
    core = Scripted(said=lambda *_: [Swap("alice", None, b"1", None), Read("bob")])
    async with running(core, store, meters=meters) as stage:
        worker = await stage.worker()
        store.away = True
        worker.say(Connected("192.0.2.1"))
        await stage.told(("store_failed", "alice"), ("store_failed", "bob"))
        assert {("swap", False), ("read", False)} <= set(meters.seen)
        store.away = False


async def test_hearts_beat_and_say_when_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    store = distant()
    async with running(store=store) as stage:
        assert stage.core.beats[0][0] == "beat"
        assert [node.name for node in stage.service.nodes] == [LIFE]
        assert not stage.service.store_state.away
        store.away = True
        await until(lambda: stage.core.beats[-1] == ("beat_failed",))
        assert stage.service.store_state.away
        assert "the store is away" in caplog.text
        store.away = False
        await until(lambda: stage.core.beats[-1][0] == "beat")
        assert not stage.service.store_state.away
        assert "the store answers again" in caplog.text


async def test_votes_and_counters_go_to_the_store_by_this_nodes_life() -> None:
    store = distant()
    core = Scripted(said=lambda *_: [Vote("mb1a", False), Count("user:1", 5)])
    async with running(core, store) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("counted", "user:1", {LIFE: 5}))
        snapshot = await store.near.beat(LIFE, "x")
        assert [(vote.backend, vote.node, vote.view) for vote in snapshot.votes] == [("mb1a", LIFE, "down")]
        store.away = True
        events = len(stage.core.events)
        worker.say(Connected("192.0.2.1"))
        await until(lambda: len(stage.core.events) > events)
        await until(lambda: store.asked[-2:] == ["vote", "count"] or "count" in store.asked[-5:])


async def test_the_operators_word_counts_before_the_store_has_it_and_gets_there_in_the_end() -> None:
    store = distant()
    core = Scripted(said=lambda *_: [SetAdmin("mb1a", "offline")])
    async with running(core, store) as stage:
        worker = await stage.worker()
        store.away = True
        worker.say(Connected("192.0.2.1"))
        await until(lambda: store.asked.count("set_admin") >= 2)
        store.away = False
        beats = len(stage.core.beats)
        await until(lambda: any(beat[0] == "beat" for beat in stage.core.beats[beats:]))
        admins = [beat[1].admin for beat in stage.core.beats[beats:] if beat[0] == "beat"]
        assert all(admin == {"mb1a": "offline"} for admin in admins)
        await until(lambda: store.near._admin == {"mb1a": "offline"})


async def test_hints_go_out_together_and_come_back() -> None:
    hints = [b"%05d" % number * 1000 for number in range(40)]
    store = distant()
    async with running(Scripted(said=lambda *_: [Publish(hint) for hint in hints]), store) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(*(("heard", hint) for hint in hints))
        assert 4 <= store.asked.count("publish") < 10


async def test_hints_that_the_store_does_not_take_are_lost_and_later_ones_are_not() -> None:
    store = distant()
    core = Scripted(said=lambda _, message: [Publish(message.address.encode())])
    async with running(core, store) as stage:
        worker = await stage.worker()
        store.away = True
        worker.say(Connected("lost"))
        await until(lambda: "publish" in store.asked)
        await until(lambda: stage.service.store_state.away)
        store.away = False
        worker.say(Connected("told"))
        await stage.told(("heard", b"told"))
        assert ("heard", b"lost") not in stage.core.events


async def test_messages_that_are_none_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    store = distant()
    async with running(Scripted(said=lambda *_: [Publish(b"good")]), store) as stage:
        await until(lambda: store.near._listeners)
        await store.near.publish(b"\xff rubbish")
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("heard", b"good"))
        assert "no director of this version has written" in caplog.text


async def test_a_subscription_that_ends_is_begun_anew() -> None:
    store = distant()
    async with running(Scripted(said=lambda *_: [Publish(b"hint")]), store) as stage:
        await until(lambda: store.near._listeners)
        await store.near.close()
        await until(lambda: store.asked.count("messages") >= 2 and store.near._listeners)
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("heard", b"hint"))


async def test_a_scan_is_told_in_pieces() -> None:
    store = MemoryStore(time.monotonic)
    for number in range(450):
        store.swap_now(f"user{number}", None, b"1", None)
    async with running(Scripted(said=lambda *_: [Scan("routes", "")]), store) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("scan_done", "routes", True))
        pieces = [event[2] for event in stage.core.events if event[0] == "scanned"]
        assert [len(piece) for piece in pieces] == [200, 200, 50]
        assert ("user7", b"1") in pieces[0]


async def test_a_scan_that_the_store_breaks_off_is_incomplete() -> None:
    store = distant()
    store.near.swap_now("alice", None, b"1", None)
    async with running(Scripted(said=lambda *_: [Scan("routes", "")]), store) as stage:
        worker = await stage.worker()
        store.away = True
        worker.say(Connected("192.0.2.1"))
        await stage.told(("scan_done", "routes", False))
        store.away = False


async def test_at_the_end_what_is_under_way_is_finished_and_the_node_leaves_the_store() -> None:
    store = distant()
    async with running(Scripted(said=lambda *_: [Swap("alice", None, b"1", None)]), store) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await until(lambda: "swap" in store.asked)
    assert store.near.read_now("alice") == b"1"
    assert store.asked[-2:] == ["leave", "close"]


async def test_at_the_end_the_core_gives_up_what_it_holds_for_nobody_before_the_node_leaves_the_store() -> None:
    store = distant()
    core = Scripted(ending=lambda: [Swap("alice", None, b"1", None)])
    async with running(core, store):
        pass
    assert store.near.read_now("alice") == b"1"
    assert store.asked.index("swap") < store.asked.index("leave")


async def test_a_store_that_is_away_at_the_end_is_left_alone() -> None:
    store = distant()
    async with running(store=store):
        store.away = True
    assert store.asked[-1] == "close"


# --- backends ---


async def test_a_probe_is_made_and_its_outcome_told() -> None:
    meters, asked = Measured(), []

    async def probe(backend: Backend) -> str:
        asked.append(backend)
        return "refused" if backend.name == "mb1b" else ""

    core = Scripted(said=lambda *_: [Probe("mb1a"), Probe("mb1b"), Probe("gone")])
    async with running(core, probe=probe, meters=meters) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("probed", "mb1a", ""), ("probed", "mb1b", "refused"))
        assert [backend.host for backend in asked] == ["mb1a.example", "mb1b.example"]
        assert set(meters.seen) == {("mb1a", True), ("mb1b", False)}


async def test_a_probe_with_a_fault_of_ours_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    async def probe(backend: Backend) -> str:
        raise RuntimeError("a bug")

    async with running(Scripted(said=lambda *_: [Probe("mb1a")]), probe=probe) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("probed", "mb1a", "the probe has failed by an error of ours"))
        assert "a bug" in caplog.text


async def test_a_probe_that_cannot_be_made_says_nothing_and_is_made_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_AGAIN", 0.0)
    outcomes: list[OSError | str] = [OSError(24, "Too many open files"), OSError(24, "Too many open files"), ""]

    async def probe(backend: Backend) -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    async with running(Scripted(said=lambda *_: [Probe("mb1a")]), probe=probe) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("said", W, Connected("192.0.2.1")), ("probed", "mb1a", ""))
        assert outcomes == []
        assert "backend mb1a cannot be probed" in caplog.text


async def test_a_backend_of_new_shards_is_probed() -> None:
    async with running(Scripted(said=lambda *_: [Probe("mb3a")])) as stage:
        shards = Shards([shard_settings("s3", mb3a=1)])
        stage.service.shards_changed(shards)
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("probed", "mb3a", ""))
        assert stage.core.events[0] == ("shards_changed", shards)


class Word(NamedTuple):
    synced: bool
    text: str


class Guardian:
    """A sync gate with prepared answers."""

    def __init__(self, synced: bool = True, drained: bool = True) -> None:
        self._synced = synced
        self._drained = drained
        self.asked: list[tuple[Any, ...]] = []
        self.broken = False

    async def synced(self, home: Backend, partners: Sequence[Backend], since: float) -> Word:
        self.asked.append((home.name, [partner.name for partner in partners], since))
        if self.broken:
            raise RuntimeError("a bug")
        return Word(self._synced, "all is well")

    async def drained(self, user: str, backend: Backend) -> bool:
        self.asked.append((user, backend.name))
        if self.broken:
            raise RuntimeError("a bug")
        return self._drained


class Fleet:
    """Who came back when, as the core's fleet has it."""

    def rows(self, now: float) -> tuple[Row, ...]:
        return (Row("mb1a", "s1", "", "mb1a.example", 1, 1, "up", "online", "up", "", now - 60.0, 1.0),)

    def standing(self, backend: str) -> str:
        return "up"


def asking() -> Scripted:
    core = Scripted(said=lambda *_: [AskGate("mb1a", 5.0), AskDrained("alice", "mb1b")])
    core.__dict__["fleet"] = Fleet()
    return core


@pytest.mark.parametrize("answer", [True, False])
async def test_the_sync_gate_is_asked(answer: bool) -> None:
    gate, meters = Guardian(answer, answer), Measured()
    async with running(asking(), gate=gate, meters=meters) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("gate_said", "mb1a", answer, 5.0), ("drained_said", "alice", "mb1b", answer))
        (home, partners, since), drained = gate.asked
        assert (home, partners, drained) == ("mb1a", ["mb1b"], ("alice", "mb1b"))
        assert since == pytest.approx(time.time() - 60.0, abs=PATIENCE)
        assert meters.seen == [("gate", "synced" if answer else "behind")]


async def test_a_gate_with_a_fault_of_ours_lets_nobody_through(caplog: pytest.LogCaptureFixture) -> None:
    gate, meters = Guardian(), Measured()
    gate.broken = True
    async with running(asking(), gate=gate, meters=meters) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("gate_said", "mb1a", False, 5.0), ("drained_said", "alice", "mb1b", False))
        assert meters.seen == [("gate", "silent")]


async def test_without_a_gate_every_backend_has_caught_up() -> None:
    async with running(asking()) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await stage.told(("gate_said", "mb1a", True, 5.0), ("drained_said", "alice", "mb1b", True))


# --- orders, routes, time ---


async def test_what_an_order_leads_to_is_done() -> None:
    async with running() as stage:
        worker = await stage.worker()
        stage.service.perform([Send(W, Embargo("192.0.2.1", 1.0))])
        assert await worker.frame() == [Embargo("192.0.2.1", 1.0)]


@pytest.mark.parametrize("away", [False, True])
async def test_what_the_store_has_for_a_user_can_be_asked(away: bool) -> None:
    store = distant()
    store.near.swap_now("alice", None, b"stored", None)
    core = Scripted()
    core.__dict__["roster"] = Roster()
    core.__dict__["roster"].user("alice", known=True).raw = b"known"
    async with running(core, store) as stage:
        store.away = away
        assert await stage.service.look_up("alice") == (b"known" if away else b"stored")
        assert await stage.service.look_up("bob") is None
        store.away = False


async def test_when_routes_are_lost_all_users_are_looked_up() -> None:
    def lookup(user: str) -> tuple[str, str] | None:
        return None if user == "user1" else ("s1", "mb1a")

    core = Scripted()
    core.__dict__["names"] = lambda: [f"user{number}" for number in range(500)]
    async with running(core, lookup=lookup) as stage:
        stage.service.routes_lost()
        await stage.told(("route_changed", "user498", "s1", "mb1a"), ("route_changed", "user499", "s1", "mb1a"))
        assert len(stage.core.events) == 499


async def test_changed_routes_are_told() -> None:
    async with running() as stage:
        stage.service.route_changed("alice", "s2", "")
        await stage.told(("route_changed", "alice", "s2", ""))


async def test_an_error_in_an_event_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Sequence[Action]:
        raise RuntimeError("a bug")

    async with running(Scripted(route_changed=broken)) as stage:
        stage.service.route_changed("alice", "s2", "")
        assert "a bug" in caplog.text


async def test_time_passes_for_the_core() -> None:
    async with running() as stage:
        await until(lambda: stage.core.beats.count(("tick",)) >= 3)


async def test_notes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vestibule.director")
    async with running(Scripted(said=lambda *_: [Note(logging.INFO, "100 % of it")])) as stage:
        worker = await stage.worker()
        worker.say(Connected("192.0.2.1"))
        await until(lambda: "100 % of it" in caplog.text)
