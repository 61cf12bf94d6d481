"""Every fault is measured once; what the figures are is not asserted, but nobody is refused for long."""

from __future__ import annotations

import asyncio

import pytest

from loadtest import director_failover
from loadtest.director_failover import FAULTS, failover_figures, spread


def test_each_fault_is_told_of_with_its_goal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(director_failover, "FAULTS", FAULTS[:2])
    monkeypatch.setattr(director_failover, "QUIET", 3)
    monkeypatch.setattr(director_failover, "LATER", 1)
    figures = {figure.name: figure for figure in failover_figures(asyncio.run, 1)}
    for fault in FAULTS[:2]:
        assert figures[f"failover, {fault.name}: first login, max"].goal == fault.goal
        assert figures[f"failover, {fault.name}: quiet sessions open, max"].value < director_failover.LONGEST
    assert "failover, killed in a login: login under way, max" in figures
    assert "failover, killed: login under way, max" not in figures


def test_a_spread_is_three_figures_of_which_the_worst_has_the_goal() -> None:
    figures = list(spread("wait", [3.0, 1.0, 2.0], "<= 5", "here"))
    assert [(figure.name, figure.value, figure.goal) for figure in figures] == [
        ("wait, min", 1.0, ""),
        ("wait, median", 2.0, ""),
        ("wait, max", 3.0, "<= 5"),
    ]
