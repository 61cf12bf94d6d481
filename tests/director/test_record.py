"""What may become of an assignment, alone and with several nodes acting in every order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from director.record import (
    MAX_BYTES,
    Hold,
    Record,
    abort_move,
    begin_move,
    beginning,
    claim,
    decode,
    drop,
    enter,
    fail_over,
    finish_move,
    inherit,
    leave,
    without,
)
from director.store import BadRecord

IDLE = Record("mb1a", "s1", 3)
HELD = IDLE._replace(holds=(Hold("front1", 3),))
MOVING = HELD._replace(target="mb2a", target_shard="s2")

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)


@st.composite
def records(draw: st.DrawFn) -> Record:
    epoch = draw(st.integers(1, 10**15))
    backend = draw(names)
    target = draw(st.just("") | names.filter(lambda name: name != backend))
    nodes = draw(st.lists(names, unique=True, max_size=5))
    holds = tuple(Hold(node, draw(st.integers(1, epoch))) for node in nodes)
    return Record(backend, draw(names), epoch, target, holds, draw(names) if target else "")


# --- the stored form ---


@given(records())
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert decode(record.encode()) == record
    assert record.encode().startswith(beginning(record.backend))


@given(st.binary(max_size=60) | st.text().map(str.encode) | records().map(lambda record: record.encode()[:-1]))
def test_whatever_is_there_is_a_record_in_its_only_form_or_a_bad_one(value: bytes) -> None:
    try:
        record = decode(value)
    except BadRecord:
        return
    assert record.encode() == value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"2\0mb1a\0s1\x003\0\0",
        b"1\0mb1a\0s1\x003\0",
        b"1\0mb1a\0s1\x003\0\0\0front1",
        b"1\0mb1a\0s1\x000\0\0",
        b"1\0mb1a\0s1\x0003\0\0",
        b"1\0mb1a\0s1\0+3\0\0",
        b"1\0mb1a\0s1\0" + b"9" * 17 + b"\0\0",
        "1\0mb1a\0s1\0\N{ARABIC-INDIC DIGIT THREE}\0\0".encode(),
        b"1\0\0s1\x003\0\0",
        b"1\0mb1a\0\x003\0\0",
        b"1\0mb1a\0s1\x003\0mb2a\0",
        b"1\0mb1a\0s1\x003\0\0s2",
        b"1\0mb1a\0s1\x003\0mb1a\0s2",
        b"1\0mb1a\0s1\x003\0\0\0\0003",
        b"1\0mb1a\0s1\x003\0\0\0front1\x004",
        b"1\0mb1a\0s1\x003\0\0\0front1\x003\0front1\x002",
        b"1\0mb1a\xff\0s1\x003\0\0",
        b"1" + b"x" * MAX_BYTES,
    ],
)
def test_what_no_director_wrote_is_a_bad_record(value: bytes) -> None:
    with pytest.raises(BadRecord):
        decode(value)


@pytest.mark.parametrize("record", [IDLE._replace(backend="mb\0a"), IDLE._replace(backend="m" * MAX_BYTES)])
def test_what_could_not_be_read_back_is_not_written(record: Record) -> None:
    with pytest.raises(ValueError):
        record.encode()


def test_a_record_is_small() -> None:
    assert len(HELD.encode()) < 40


# --- claims and drops ---


def test_a_claim_of_somebody_unknown_begins_an_assignment() -> None:
    assert claim(None, "front1", "mb1a", "s1") == (Record("mb1a", "s1", 1, holds=(Hold("front1", 1),)), "new")


def test_a_claim_joins_the_assignment_that_is_there() -> None:
    record, verdict = claim(HELD, "front2", "mb1b", "s1")
    assert (record.backend, verdict) == ("mb1a", "joined")
    assert record.holders == {"front1", "front2"}
    assert record.held_by("front2")


def test_a_second_claim_of_the_same_node_changes_nothing() -> None:
    assert claim(HELD, "front1", "mb1b", "s1") == (HELD, "joined")


def test_who_is_being_moved_cannot_be_claimed() -> None:
    assert claim(MOVING, "front2", "mb1a", "s1") == (MOVING, "moving")
    assert claim(MOVING, "front1", "mb1a", "s1") == (MOVING, "moving")


def test_a_claim_of_who_is_being_moved_and_held_by_nobody_is_at_the_target() -> None:
    record, verdict = claim(MOVING._replace(holds=()), "front2", "mb1a", "s1")
    assert (record, verdict) == (Record("mb2a", "s2", 4, holds=(Hold("front2", 4),)), "joined")


def test_a_claim_after_a_failover_replaces_the_hold_that_is_being_closed() -> None:
    failed = fail_over(HELD, "mb1b")
    assert not failed.held_by("front1")
    assert claim(failed, "front1", "mb1a", "s1").record.holds == (Hold("front1", 4),)


def test_the_last_drop_leaves_an_idle_assignment() -> None:
    assert drop(HELD, "front1") == IDLE
    assert drop(IDLE, "front1") == IDLE


def test_the_last_drop_finishes_a_move() -> None:
    assert drop(MOVING, "front2") == MOVING
    assert drop(MOVING, "front1") == Record("mb2a", "s2", 4)


def test_the_holds_of_dead_nodes_are_given_up() -> None:
    assert without(HELD, {"front1"}) == IDLE
    assert without(MOVING, {"front1"}) == Record("mb2a", "s2", 4)


def test_a_node_that_starts_again_inherits_what_its_sessions_hold() -> None:
    assert inherit(MOVING, "front1", "front1/2") == MOVING._replace(holds=(Hold("front1/2", 3),))
    assert inherit(HELD, "front2", "front2/2") == HELD
    twice = HELD._replace(holds=(Hold("front1", 2), Hold("front1/2", 3)))
    assert inherit(twice, "front1", "front1/2").holds == (Hold("front1/2", 3),)


# --- moves and failovers ---


def test_who_is_not_held_moves_at_once() -> None:
    assert begin_move(IDLE, "mb2a", "s2") == Record("mb2a", "s2", 4)


def test_who_is_held_moves_later() -> None:
    assert begin_move(HELD, "mb2a", "s2") == MOVING


def test_a_move_to_where_the_user_is_ends_a_move_and_may_change_the_shard() -> None:
    assert begin_move(MOVING, "mb1a", "s1") == HELD
    assert begin_move(HELD, "mb1a", "s9") == HELD._replace(shard="s9")


def test_a_move_replaces_another() -> None:
    assert begin_move(MOVING, "mb3a", "s3") == HELD._replace(target="mb3a", target_shard="s3")


def test_an_aborted_move_leaves_the_user_where_it_was() -> None:
    assert abort_move(MOVING) == HELD


def test_a_move_is_finished_when_only_dead_nodes_hold_the_user() -> None:
    assert finish_move(MOVING) == MOVING
    assert finish_move(MOVING, {"front1"}) == Record("mb2a", "s2", 4)
    assert finish_move(HELD, {"front1"}) == HELD


@given(records(), names)
def test_what_is_stored_grows_and_shrinks_by_a_hold(record: Record, node: str) -> None:
    record = drop(record._replace(target="", target_shard=""), node)
    held = enter(record, record.encode(), node)
    assert held == (claim(record, node, "", "").record, held.record.encode())
    assert leave(held.record, held.raw, node) == (record, record.encode())
    later = claim(held.record, node + "'", "", "").record
    left = leave(later, later.encode(), node)
    assert left == (drop(later, node), left.record.encode())


def test_a_record_does_not_grow_beyond_what_can_be_read() -> None:
    with pytest.raises(ValueError, match="too many holds"):
        enter(HELD, HELD.encode(), "n" * MAX_BYTES)


def test_a_failover_is_at_once_and_ends_a_move() -> None:
    assert fail_over(MOVING, "mb1b") == Record("mb1b", "s1", 4, holds=(Hold("front1", 3),))
    assert fail_over(MOVING, "mb2a") == Record("mb2a", "s2", 4, holds=(Hold("front1", 3),))
    assert fail_over(MOVING, "mb1a") == MOVING


# --- several nodes ---

NODES = ("front1", "front2", "front3")
BACKENDS = {"mb1a": "s1", "mb1b": "s1", "mb2a": "s2"}


@dataclass
class Front:
    """A node as far as the record matters: where its sessions are, and what each was given at."""

    sessions: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Intent:
    """A change that a node has worked out from what it read, and may write now, later or never."""

    node: str
    expected: Record | None
    new: Record
    grants: bool = False
    drops: bool = False
    fails: bool = False


class Nodes(RuleBasedStateMachine):
    """Nodes read, work out what should be, and write by compare-and-set, each as late as it likes.

    A node that is dead has no sessions, and what it had worked out is never written.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored: bytes | None = None
        self.fronts = {name: Front() for name in NODES}
        self.lives = dict.fromkeys(NODES, 1)
        self.pending: list[Intent] = []
        self.failed: set[tuple[str, int]] = set()
        """Backends and epochs that ended by failover: sessions given then are being closed."""

    def read(self) -> Record | None:
        return None if self.stored is None else decode(self.stored)

    def life(self, node: str) -> str:
        """The node's name in this life, as holds have it."""
        return f"{node}/{self.lives[node]}"

    def intend(self, intent: Intent | None) -> None:
        if intent is not None and len(self.pending) < 10:
            self.pending.append(intent)

    # --- reading and working out ---

    @rule(node=st.sampled_from(NODES), backend=st.sampled_from(sorted(BACKENDS)))
    def a_node_wants_to_claim(self, node: str, backend: str) -> None:
        record = self.read()
        new, verdict = claim(record, self.life(node), backend, BACKENDS[backend])
        if verdict == "moving":
            assert record is not None
            assert new == record
        else:
            self.intend(Intent(node, record, new, grants=True))

    @rule(node=st.sampled_from(NODES))
    def a_session_ends(self, node: str) -> None:
        if self.fronts[node].sessions:
            self.fronts[node].sessions.pop()

    @rule(node=st.sampled_from(NODES))
    def a_session_of_a_node_that_holds_the_user_begins(self, node: str) -> None:
        """A node grants by itself what it holds in the present epoch, unless the user is being moved."""
        front, record = self.fronts[node], self.read()
        if record and record.held_by(self.life(node)) and not record.target and not self.is_writing(node):
            front.sessions.append((record.backend, record.epoch))

    @rule(node=st.sampled_from(NODES))
    def a_node_wants_to_drop(self, node: str) -> None:
        record = self.read()
        if record is not None and not self.fronts[node].sessions:
            self.intend(Intent(node, record, drop(record, self.life(node)), drops=True))

    @rule(node=st.sampled_from(NODES), backend=st.sampled_from(sorted(BACKENDS)))
    def a_node_wants_to_move(self, node: str, backend: str) -> None:
        if (record := self.read()) is not None:
            self.intend(Intent(node, record, begin_move(record, backend, BACKENDS[backend])))

    @rule(node=st.sampled_from(NODES))
    def a_node_wants_to_abort_the_move(self, node: str) -> None:
        if (record := self.read()) is not None:
            self.intend(Intent(node, record, abort_move(record)))

    @rule(node=st.sampled_from(NODES), backend=st.sampled_from(sorted(BACKENDS)))
    def a_node_wants_to_fail_over(self, node: str, backend: str) -> None:
        if (record := self.read()) is not None:
            self.intend(Intent(node, record, fail_over(record, backend), fails=True))

    # --- writing ---

    @rule(number=st.integers(0, 9))
    def somebody_writes(self, number: int) -> None:
        if number >= len(self.pending):
            return
        intent = self.pending.pop(number)
        found = self.read()
        if found not in (intent.expected, intent.new):
            return  # somebody else was first; what is already there counts as written
        if intent.drops and self.fronts[intent.node].sessions:
            return  # a session has begun meanwhile, so the node does not drop
        self.check(found, intent)
        self.stored = intent.new.encode()
        if intent.grants:
            self.fronts[intent.node].sessions.append((intent.new.backend, intent.new.epoch))

    @rule(node=st.sampled_from(NODES))
    def a_node_dies_and_the_others_clear_up(self, node: str) -> None:
        self.fronts[node].sessions.clear()
        self.pending = [intent for intent in self.pending if intent.node != node]
        dead = self.life(node)
        self.lives[node] += 1
        if (record := self.read()) is not None:
            for other in NODES:
                if other != node:
                    self.intend(Intent(other, record, without(record, {dead})))

    @rule()
    def an_idle_assignment_expires(self) -> None:
        record = self.read()
        if record is not None and not record.holds and not self.pending:
            self.stored = None
            self.failed.clear()

    def is_writing(self, node: str) -> bool:
        return any(intent.node == node and intent.drops for intent in self.pending)

    def check(self, old: Record | None, intent: Intent) -> None:
        """The rule of the module, for the step that is about to be taken."""
        new = intent.new
        if old is None or old.backend == new.backend:
            assert old is None or old.epoch == new.epoch
            return
        assert new.epoch == old.epoch + 1
        if intent.fails:
            self.failed.add((old.backend, old.epoch))
        else:
            assert not any(front.sessions for front in self.fronts.values())

    @invariant()
    def nobody_is_on_two_backends_but_those_being_closed_after_a_failover(self) -> None:
        live = {place for front in self.fronts.values() for place in front.sessions}
        assert len(live - self.failed) <= 1

    @invariant()
    def a_node_with_sessions_holds_the_user(self) -> None:
        record = self.read()
        for name, front in self.fronts.items():
            assert not front.sessions or (record is not None and self.life(name) in record.holders)


TestNodes = pytest.mark.machine(Nodes.TestCase)
TestNodes.settings = settings(max_examples=80, stateful_step_count=60)


# --- pinned --------------------------------------------------------------------------------------------------------


def test_who_is_pinned_stays_so_through_the_move_and_in_the_store() -> None:
    held = Record("a", "s1", 1, holds=(Hold("n", 1),))
    moving = begin_move(held, "b", "s1", pinned=True)
    assert moving.pinned
    assert decode(moving.encode()) == moving
    there = drop(moving, "n")
    assert (there.backend, there.pinned) == ("b", True)
    assert decode(there.encode()) == there


def test_another_move_an_abort_and_a_failover_end_it() -> None:
    pinned = Record("a", "s1", 1, holds=(Hold("n", 1),), pinned=True)
    assert not begin_move(pinned, "b", "s1").pinned
    assert not abort_move(begin_move(pinned, "b", "s1", pinned=True)).pinned
    assert not fail_over(pinned, "b").pinned


def test_who_is_there_already_is_pinned_where_the_user_is() -> None:
    here = Record("a", "s1", 1)
    assert begin_move(here, "a", "s1", pinned=True) == here._replace(pinned=True)
