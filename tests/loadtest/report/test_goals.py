"""What is better, less or more."""

from __future__ import annotations

import pytest

from loadtest.figures import Figure
from loadtest.report.goals import better, met


@pytest.mark.parametrize(
    ("name", "unit", "goal", "expected"),
    [
        ("login CPU", "ms", "", "less"),
        ("idle session", "KiB", "", "less"),
        ("download", "CPU s/GiB", "", "less"),
        ("download", "MiB/s", "", "more"),
        ("logins", "per s", "", "more"),
        ("refused", "per s", "", "less"),
        ("mail lost", "", "", "less"),
        ("resumed", "%", ">= 90", "more"),
        ("cores", "", "<= 2", "less"),
        ("downloaded", "MiB", "", ""),
        ("logins", "", "", ""),
        ("sessions", "", "as many as possible", ""),
    ],
)
def test_the_goal_decides_then_the_name_then_the_unit(name: str, unit: str, goal: str, expected: str) -> None:
    assert better(name, unit, goal) == expected


@pytest.mark.parametrize(
    ("value", "goal", "reached"),
    [
        (0.41, "<= 0.41", True),
        (0.42, "≤ 0.41 ms", False),
        (2.0, "< 2", False),
        (20000.0, "at least 20,000", True),
        (3.0, "over 3", False),
        (3.0, "none refused", None),
        (3.0, "", None),
    ],
)
def test_a_goal_is_met_missed_or_only_words(value: float, goal: str, reached: bool | None) -> None:
    assert met(Figure("", value, "", goal, "")) is reached
