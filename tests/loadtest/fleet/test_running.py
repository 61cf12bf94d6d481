from __future__ import annotations

import os
import signal

import msgspec
import pytest

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.checks import checks
from loadtest.fleet.ground import Ground
from loadtest.fleet.record import Record
from loadtest.fleet.running import Outcome, Plan, interruptible, run
from loadtest.fleet.scenario import Event
from loadtest.people import PASSWORD
from tests.loadtest.fleet.work import scenario_of


def test_a_run_with_a_backend_that_dies_loses_nothing_and_keeps_users_on_one_backend(ground: Ground) -> None:
    events = (Event(at=0.6, do="kill", backend="s1a"), Event(at=1.4, do="revive", backend="s1a"))
    scenario = msgspec.structs.replace(scenario_of(write=1, idle=1, poll=2), seconds=4.4, sessions=24, event=events)
    seen: list[float] = []

    def watch(now: float, record: Record, attendance: Attendance) -> None:
        seen.append(now)

    with interruptible() as interruption:
        outcome = run(Plan(scenario, ground, 1, PASSWORD), interruption, watch)
    failures = outcome.attendance.failures(outcome.ended)
    assert all(check.held for check in checks(scenario, outcome.record, failures))
    assert outcome.record.counts["appended"] > 0
    assert sum(outcome.attendance.logins.values()) >= outcome.record.counts["logins"]
    assert seen
    assert seen == sorted(seen)
    assert {one.group for one in outcome.sampler.series()} == {"cpu", "memory"}
    assert not outcome.interrupted


def test_an_interrupted_run_ends_early_with_what_it_has(ground: Ground) -> None:
    def watch(now: float, record: Record, attendance: Attendance) -> None:
        if record.counts["logins"] and not interruption.wanted:
            os.kill(os.getpid(), signal.SIGINT)

    with interruptible() as interruption:
        outcome: Outcome = run(Plan(scenario_of(poll=1), ground, 1, PASSWORD), interruption, watch)
    assert outcome.interrupted
    assert outcome.seconds < 60
    assert outcome.record.counts["logins"] > 0


def test_who_asks_twice_need_not_wait_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.wanted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
