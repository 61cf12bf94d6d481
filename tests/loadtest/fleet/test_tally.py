from __future__ import annotations

from loadtest.fleet.tally import MOST_KINDS, OTHERS, PHASES, Tally, packed, unpacked
from loadtest.report.latency import LatencyHistogram


def test_a_snapshot_takes_what_was_counted_and_leaves_the_states() -> None:
    tally = Tally(3)
    tally.states["idling"] += 2
    tally.count("logins")
    tally.count("received", 100)
    tally.took("login", 0.25)
    tally.fault("login: refused", 7.0, "first")
    tally.fault("login: refused", 8.0, "second")
    tally.longest("cut off", 2.0)
    tally.longest("cut off", 1.0)
    first = tally.snapshot(1.0, 0.001)
    assert (first.process, first.states, first.counts) == (3, {"idling": 2}, {"logins": 1, "received": 100})
    assert LatencyHistogram.of(first.latencies["login"]).most == 0.25
    fault = first.faults["login: refused"]
    assert (fault.count, fault.first, fault.example) == (2, 7.0, "first")
    assert first.longest == {"cut off": 2.0}
    second = tally.snapshot(2.0, 0.0)
    assert (second.states, second.counts, second.faults) == ({"idling": 2}, {}, {})


def test_a_snapshot_goes_through_a_pipe_as_it_is() -> None:
    tally = Tally(0)
    tally.took("push", 0.1)
    tally.fault("x", 1.0, "y", explained=True)
    snapshot = tally.snapshot(1.0, 0.5, last=True)
    again = unpacked(packed(snapshot))
    assert LatencyHistogram.of(again.latencies["push"]).most == 0.1
    assert (again.last, again.late, again.disturbances, again.faults) == (True, 0.5, snapshot.disturbances, {})


def test_only_so_many_kinds_of_errors_are_told_apart() -> None:
    tally = Tally(0)
    for number in range(MOST_KINDS + 10):
        tally.fault(f"kind {number}", 0.0, "")
    faults = tally.snapshot(0.0, 0.0).faults
    assert len(faults) == MOST_KINDS + 1
    assert faults[OTHERS].count == 10


def test_examples_are_short() -> None:
    tally = Tally(0)
    tally.fault("x", 0.0, "y" * 10_000)
    assert len(tally.snapshot(0.0, 0.0).faults["x"].example) <= 200


def test_phases_are_told_apart() -> None:
    assert len(set(PHASES)) == len(PHASES)
