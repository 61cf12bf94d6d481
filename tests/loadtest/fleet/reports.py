"""A report of a run that was made up."""

from __future__ import annotations

from loadtest.figures import Machine
from loadtest.fleet.attendance import Attendance
from loadtest.fleet.record import Record
from loadtest.fleet.results import report
from loadtest.fleet.running import Outcome
from loadtest.fleet.tally import Tally
from loadtest.report.model import Check, Report
from loadtest.report.sampling import Sampler
from loadtest.simulated import Presence
from tests.loadtest.fleet.work import scenario_of


def made_up_record() -> Record:
    tally = Tally(0)
    tally.states["idling"] = 3
    tally.count("logins", 5)
    tally.count("resumed", 3)
    tally.count("not resumed", 1)
    tally.took("arrival", 0.25)
    tally.took("login", 0.125)
    tally.fault("login: refused", 2.0, "alice: a1 NO [UNAVAILABLE]")
    tally.fault("idle: connection lost", 2.0, "bob: closed", explained=True)
    record = Record(10)
    record.add(tally.snapshot(1.0, 0.004))
    return record


def made_up(*, interrupted: bool = False) -> Report:
    attendance = Attendance(1.0)
    attendance.note([Presence(1.0, "alice", "s1a", "imap", True)], 2.0)
    outcome = Outcome(made_up_record(), attendance, Sampler({}), 1.7e9, 10.0, 10.0, interrupted)
    checks = [Check("errors", False, "1 [bad] thing"), Check("content", True, "all of it")]
    machine = Machine(2, "3.11", 10.0, 500.0, 0.1)
    shards = {"s1a": "s1", "s1b": "s1"}
    return report(scenario_of(idle=1), outcome, checks, command="vestibule", machine=machine, shards=shards)
