from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.fleet.ground import Ground
from loadtest.fleet.running import Interruption
from loadtest.scale import running
from loadtest.scale.checks import checks
from loadtest.scale.holders import holders
from loadtest.scale.outcome import Outcome
from loadtest.scale.plan import Plan
from loadtest.scale.running import Running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "APART", 0.05)
    monkeypatch.setattr(running, "LOOK", 0.1)
    monkeypatch.setattr(running, "SHOW", 0.0)


def run(plan: Plan, ground: Ground, interruption: Interruption | None = None, word: str = "never said") -> Outcome:
    """A run, interrupted when this word is said."""
    asked = interruption or Interruption()

    def say(text: str) -> None:
        asked.wanted = asked.wanted or word in text

    with holders(plan, ground) as clients:
        return Running(plan, ground, clients, asked, say).run()


def test_sessions_are_opened_held_and_closed_to_zero(plan: Plan, ground: Ground) -> None:
    outcome = run(plan, ground)
    assert [check for check in checks(plan, outcome) if not check.held] == []
    assert [(step.sessions, step.opened) for step in outcome.steps] == [(6, 6), (12, 6)]
    assert [step.arrivals.count for step in outcome.steps] == [6, 6]
    assert outcome.end is not None
    assert outcome.end.left == {}
    assert outcome.hold is not None
    assert outcome.hold.sessions == 12
    assert sum(outcome.attendance.logins.values()) == 12
    assert not outcome.interrupted


def test_an_interruption_ends_it_with_what_there_is(plan: Plan, ground: Ground) -> None:
    outcome = run(replace(plan, hold=3600.0), ground, word="12 sessions:")
    assert outcome.interrupted
    assert len(outcome.steps) == 2
    assert outcome.hold is None
    assert outcome.end is not None
    assert outcome.end.left == {}


def test_an_interrupted_step_is_in_no_figure(plan: Plan, ground: Ground) -> None:
    outcome = run(replace(plan, steps=(6, 600)), ground, word="6 sessions:")
    assert [step.wanted for step in outcome.steps] == [6]
    assert outcome.interrupted
    assert outcome.end is not None
    assert outcome.end.left == {}


def test_metrics_that_do_not_answer_are_told_as_somebody_left(
    plan: Plan, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(_: object) -> dict[str, float]:
        raise TimeoutError("timed out")

    monkeypatch.setattr(running, "PATIENCE", 0.5)
    monkeypatch.setattr(running, "gauges", late)
    outcome = run(replace(plan, steps=(1,), hold=0.0), ground)
    assert outcome.end is not None
    assert outcome.end.left == {"no metrics: timed out": 1.0}
    assert outcome.end.emptied is None


def test_nothing_more_is_opened_when_a_step_was_not_reached(
    plan: Plan, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "PATIENCE", 5.0)
    monkeypatch.setattr("loadtest.scale.holders.PASSWORD", "wrong")
    monkeypatch.setattr(running, "WARM", 1)
    outcome = run(replace(plan, steps=(1, 2)), ground)
    held = {check.name: check.held for check in checks(plan, outcome)}
    assert [step.sessions for step in outcome.steps] == [0]
    assert not held["all sessions opened"]
