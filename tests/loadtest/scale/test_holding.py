from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from threading import Thread

import msgspec

from loadtest.fleet.ground import Ground
from loadtest.fleet.record import INSIDE, Record
from loadtest.fleet.tally import unpacked
from loadtest.people import PASSWORD
from loadtest.scale.census import gauges
from loadtest.scale.holding import Holding, Post
from loadtest.scale.plan import Plan

PATIENCE = 20.0


@contextmanager
def holding(plan: Plan, ground: Ground) -> Iterator[Pipe]:
    """A client process's work in a thread of this one; what the parent has of its pipe."""
    ours, theirs = multiprocessing.Pipe()
    work = Holding(Post(plan.scenario, ground.target, 2, 3, PASSWORD, time.monotonic()), theirs)
    thread = Thread(target=work.run)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def heard(pipe: Pipe, record: Record, condition: Callable[[int], bool]) -> None:
    """Listen until a condition of the number of sessions holds."""
    until = time.monotonic() + PATIENCE
    while not condition(sum(record.states()[name] for name in INSIDE)):
        assert pipe.poll(max(0.0, until - time.monotonic())), record.faults
        record.add(unpacked(pipe.recv_bytes()))


def test_it_has_as_many_sessions_as_it_is_told_and_then_none(plan: Plan, ground: Ground) -> None:
    record = Record(10)
    with holding(plan, ground) as pipe:
        for wanted in (3, 8, 0, 2, 0):
            pipe.send_bytes(msgspec.msgpack.encode(wanted))
            heard(pipe, record, lambda inside, wanted=wanted: inside == wanted)  # type: ignore[misc]
    assert record.counts["logins"] == 10
    assert record.faults == {}


def test_nobody_stays_who_was_on_the_way_when_all_were_told_to_leave(plan: Plan, ground: Ground) -> None:
    record = Record(10)
    with holding(plan, ground) as pipe:
        pipe.send_bytes(msgspec.msgpack.encode(200))
        heard(pipe, record, lambda inside: inside > 0)
        pipe.send_bytes(msgspec.msgpack.encode(0))
        heard(pipe, record, lambda inside: not record.states().total())
        assert gauges_are_zero(ground)
    assert record.faults == {}


def gauges_are_zero(ground: Ground) -> bool:
    """Whether the daemon comes to see nobody as well."""
    assert ground.daemon is not None
    until = time.monotonic() + PATIENCE
    while any(gauges(ground.daemon).values()):
        if time.monotonic() > until:
            return False
    return True


def test_it_ends_with_its_sessions_when_the_parent_is_gone(plan: Plan, ground: Ground) -> None:
    with holding(plan, ground) as pipe:
        pipe.send_bytes(msgspec.msgpack.encode(2))
        heard(pipe, Record(10), lambda inside: inside == 2)
