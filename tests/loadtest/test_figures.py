"""How figures are shown."""

from __future__ import annotations

import json

import pytest

from loadtest.figures import Figure, as_json, percentile, shown, table, this_machine

FIGURES = [
    Figure("login", 43.71, "µs CPU", "<= 70", "20 logins"),
    Figure("a longer name", 1234567.0, "/s", "", "the same"),
]


def test_a_table_has_a_line_for_each_figure() -> None:
    assert table(FIGURES).splitlines() == [
        "                  measured            goal         how it was taken",
        "login                 43.7 µs CPU     <= 70        20 logins",
        "a longer name    1,234,567 /s                      the same",
    ]


def test_json_has_the_machine_beside_the_figures() -> None:
    read = json.loads(as_json(this_machine(), FIGURES))
    assert read["figures"][0] == {
        "name": "login",
        "value": 43.71,
        "unit": "µs CPU",
        "goal": "<= 70",
        "how": "20 logins",
    }
    assert read["machine"]["additions"] > 0
    assert read["machine"]["sha512"] > 0


def test_a_machine_is_told_in_one_line() -> None:
    assert "million additions/s" in str(this_machine())


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.001234, "0.00123"), (99.96, "100"), (7.0, "7"), (1234.5, "1,234")]
)
def test_small_values_have_three_digits(value: float, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 2.0), (75, 3.0), (99, 4.0), (100, 4.0)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile([4.0, 2.0, 1.0, 3.0], percent) == value


def test_the_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 50) == 0.0
