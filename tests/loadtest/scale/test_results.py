from __future__ import annotations

from pathlib import Path

from loadtest.figures import Machine
from loadtest.fleet.record import Record
from loadtest.fleet.tally import Fault
from loadtest.report.model import Report, read, write
from loadtest.scale.checks import checks
from loadtest.scale.outcome import Outcome
from loadtest.scale.plan import Plan
from loadtest.scale.results import report
from tests.loadtest.scale.examples import outcome_of, step_of

PLAN = Plan(steps=(1_000, 5_000), workers=2)
MACHINE = Machine(2, "3.11", 20.0, 500.0, 0.1)


def report_of(outcome: Outcome) -> Report:
    return report(PLAN, outcome, list(checks(PLAN, outcome)), machine=MACHINE, shards={"s1a": "s1"})


def values(made: Report) -> dict[str, float]:
    return {figure.name: figure.value for figure in made.figures}


def test_every_step_has_its_figures() -> None:
    found = values(report_of(outcome_of(step_of(1_000), step_of(5_000, opened=4_000))))
    assert found["empty daemon"] == 100
    assert found["at 1,000: memory of a session"] == 16
    assert found["at 5,000: kernel memory of a session"] == 8
    assert found["at 5,000: login rate"] == 400
    assert found["at 5,000: descriptors"] == 10_000
    assert found["held: messages"] == 3
    assert found["closed: memory back after"] == 2


def test_arrivals_are_told_for_each_step() -> None:
    made = report_of(outcome_of(step_of(1_000), step_of(5_000)))
    phases = [latency.phase for latency in made.latencies]
    assert phases == ["arrival, 0 to 1,000", "arrival, 1,000 to 5,000", "push, while held"]


def test_what_was_not_reached_is_not_in_it() -> None:
    names = values(report_of(outcome_of(hold=None, end=None)))
    assert set(names) == {"fresh daemon", "empty daemon", "empty daemon: CPU"}


def test_errors_are_in_it_and_it_can_be_written(tmp_path: Path) -> None:
    record = Record(60)
    record.faults["login: refused"] = Fault(2, 1.5, "user1: NO")
    made = report_of(outcome_of(step_of(1_000), record=record))
    write(made, tmp_path / "r.json")
    again = read(tmp_path / "r.json")
    assert [(error.kind, error.count) for error in again.errors] == [("login: refused", 2)]
    assert again.scenario["steps"] == [1_000, 5_000]
    assert [(share.backend, share.shard) for share in again.distribution] == [("s1a", "s1")]
