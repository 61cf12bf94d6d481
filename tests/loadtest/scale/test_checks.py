from __future__ import annotations

from typing import Any

import pytest

from loadtest.fleet.record import Record
from loadtest.report.model import Check
from loadtest.scale.checks import checks
from loadtest.scale.outcome import End, Outcome
from loadtest.scale.plan import Plan
from tests.loadtest.scale.examples import KIB, census_of, outcome_of, step_of

PLAN = Plan(steps=(1_000, 5_000, 50_000), workers=7)
STEPS = [step_of(1_000, each=30.0), step_of(5_000), step_of(50_000)]


def found(outcome: Outcome) -> dict[str, Check]:
    return {check.name: check for check in checks(PLAN, outcome)}


def record_of(**counts: int) -> Record:
    record = Record(60)
    record.counts.update(counts)
    return record


def end_of(**more: Any) -> End:
    values: dict[str, Any] = {"emptied": 1.0, "returned": 2.0, "left": {}, "census": census_of()}
    return End(**(values | more))


def test_everything_holds_when_all_goes_well() -> None:
    held = found(outcome_of(*STEPS))
    assert [name for name, check in held.items() if not check.held] == []
    assert set(held) == {
        "all sessions opened",
        "no session dropped",
        "content",
        "a session costs the same at any number",
        "counters return to 0",
        "memory returns",
        "descriptors return",
    }


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("all sessions opened", outcome_of(step_of(1_000), step_of(5_000, sessions=4_999))),
        ("all sessions opened", outcome_of(*STEPS, record=record_of(**{"not opened": 1}))),
        ("no session dropped", outcome_of(*STEPS, record=record_of(dropped=1))),
        ("content", outcome_of(*STEPS, record=record_of(violations=1))),
        ("a session costs the same at any number", outcome_of(*STEPS[:2], step_of(50_000, each=17.7))),
        ("counters return to 0", outcome_of(*STEPS, end=end_of(left={"vestibule_sessions": 1.0}))),
        ("counters return to 0", outcome_of(*STEPS, end=end_of(emptied=None))),
        ("memory returns", outcome_of(*STEPS, end=end_of(returned=None))),
        ("descriptors return", outcome_of(*STEPS, end=end_of(census=census_of(all_together=164)))),
    ],
)
def test_what_does_not_hold_is_found(name: str, outcome: Outcome) -> None:
    assert not found(outcome)[name].held


def test_the_last_step_is_compared_with_the_one_nearest_to_five_thousand() -> None:
    text = found(outcome_of(*STEPS))["a session costs the same at any number"].text
    assert text.startswith("16.0 KiB at 50,000, 16.0 KiB at 5,000: +0.0 %")


def test_with_few_sessions_memory_is_not_judged() -> None:
    names = found(outcome_of(step_of(20), step_of(40)))
    assert "memory returns" not in names
    assert "a session costs the same at any number" not in names


def test_an_interrupted_run_is_not_blamed_for_what_it_did_not_open() -> None:
    assert "all sessions opened" not in found(outcome_of(step_of(1_000), interrupted=True))


def test_what_is_left_is_told() -> None:
    outcome = outcome_of(*STEPS, end=end_of(left={"sessions at s1a": 2.0}, census=census_of(90 * KIB)))
    assert found(outcome)["counters return to 0"].text == "sessions at s1a: 2"
