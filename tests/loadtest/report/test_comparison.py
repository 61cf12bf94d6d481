"""What changed from one run to another."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures import Figure
from loadtest.report.comparison import Comparison, Row, compare
from loadtest.report.model import Check, ErrorCount, Latency, Measure, Report, Spread

from .example import MACHINE

VALUES = st.floats(1e-3, 1e3)


def made(**fields: object) -> Report:
    """A report of nothing but these."""
    empty = Report(title="", command="", scenario={}, began=0.0, seconds=60.0, machine=MACHINE)
    return msgspec.structs.replace(empty, **fields)


def row(first: float, second: float, better: str = "less", noisy: bool = False) -> Row:
    return Row("Figures", "it", "s", first, second, better, noisy)  # type: ignore[arg-type]


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {row.name: row.verdict() for row in comparison.rows}


@pytest.mark.parametrize(
    ("first", "second", "better", "verdict"),
    [
        (1.0, 1.2, "less", "worse"),
        (1.0, 1.2, "more", "better"),
        (1.0, 0.8, "less", "better"),
        (1.0, 0.8, "more", "worse"),
        (1.0, 1.09, "less", "same"),
        (0.0, 0.0, "less", "same"),
        (0.0, 1.0, "less", "worse"),
        (1.0, 0.0, "less", "better"),
        (1.0, 0.0, "more", "worse"),
        (1.0, 9.0, "", ""),
    ],
)
def test_more_than_ten_percent_is_better_or_worse(first: float, second: float, better: str, verdict: str) -> None:
    assert row(first, second, better).verdict() == verdict


@given(VALUES, VALUES, st.floats(0, 100))
def test_what_is_worse_one_way_is_better_the_other_way(first: float, second: float, percent: float) -> None:
    if math.isclose(max(first / second, second / first), 1 + percent / 100):
        return
    there, back = row(first, second).verdict(percent), row(second, first).verdict(percent)
    assert {"worse": "better", "better": "worse", "same": "same"}[there] == back


def test_what_differs_no_more_than_repetitions_do_is_noise() -> None:
    assert row(1.0, 2.0, noisy=True).verdict() == "noise"
    assert row(1.0, 2.0, noisy=True).loss == 0.0
    assert row(1.0, 1.0, noisy=True).verdict() == "same"


def test_figures_are_compared_by_name_and_unit() -> None:
    first = made(
        figures=[Figure("login", 1.0, "ms", "", ""), Figure("a", 1.0, "s", "", ""), Figure("x", 1.0, "s", "", "")]
    )
    second = made(
        figures=[Figure("login", 2.0, "ms", "", ""), Figure("b", 1.0, "s", "", ""), Figure("x", 1.0, "h", "", "")]
    )
    comparison = compare(first, second)
    assert verdicts(comparison) == {"login": "worse", "a": "", "b": ""}
    assert [(row.told(row.first), row.told(row.second), row.ratio) for row in comparison.rows] == [
        ("1 ms", "2 ms", 2.0),
        ("1 s", "–", None),
        ("–", "1 s", None),
    ]


def test_a_quantile_with_too_few_beyond_it_is_not_judged() -> None:
    first = made(latencies=[Latency("login", 1000, 0.1, 0.2, 0.3, 0.4, 0.5)])
    second = made(latencies=[Latency("login", 1000, 0.2, 0.4, 0.6, 0.8, 1.0)])
    assert verdicts(compare(first, second)) == {
        "login median": "worse",
        "login p90": "worse",
        "login p99": "worse",
        "login p99.9": "noise",
    }
    assert compare(first, second).rows[0].told(0.1) == "100 ms"


def test_a_new_kind_of_error_is_worse_and_a_few_more_of_a_known_one_are_noise() -> None:
    first = made(
        errors=[ErrorCount("reset", 10, 0.0, ""), ErrorCount("slow", 10, 0.0, ""), ErrorCount("gone", 9, 0.0, "")]
    )
    second = made(
        errors=[ErrorCount("reset", 14, 0.0, ""), ErrorCount("slow", 40, 0.0, ""), ErrorCount("new", 1, 0.0, "")]
    )
    assert verdicts(compare(first, second)) == {"reset": "noise", "slow": "worse", "gone": "better", "new": "worse"}


def test_of_the_products_ours_is_judged_and_only_when_the_ranges_do_not_overlap() -> None:
    def measure(name: str, *spread: float) -> Measure:
        return Measure(name, "ms", values={"Vestibule": Spread(*spread), "nginx": Spread(*spread)})

    first = made(
        measures=[measure("login", 1.0, 0.9, 1.3), measure("noop", 1.0, 0.9, 1.1), measure("old", 1.0, 1.0, 1.0)]
    )
    second = made(measures=[measure("login", 1.2, 1.1, 1.4), measure("noop", 1.2, 1.15, 1.3)])
    assert verdicts(compare(first, second)) == {
        "login, Vestibule": "noise",
        "login, nginx": "",
        "noop, Vestibule": "worse",
        "noop, nginx": "",
    }


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        (True, True, "same"),
        (True, False, "worse"),
        (False, True, "better"),
        (False, False, "same"),
        (None, False, "worse"),
    ],
)
def test_a_check_that_does_not_hold_any_more_is_worse(first: bool | None, second: bool, verdict: str) -> None:
    before = [] if first is None else [Check("books", first, "before")]
    comparison = compare(made(checks=before), made(checks=[Check("books", second, "after")]))
    assert [(check.verdict, check.text) for check in comparison.checks] == [(verdict, "after")]
    assert (comparison.found("worse") == ["books"]) is (verdict == "worse")


def test_a_check_that_is_not_made_any_more_is_told_but_not_judged() -> None:
    comparison = compare(made(checks=[Check("books", False, "before")]), made())
    assert [(check.second, check.verdict, check.text) for check in comparison.checks] == [(None, "", "before")]


def test_what_makes_two_runs_hard_to_compare_is_said() -> None:
    first = made(scenario={"users": 10, "seed": 1})
    second = made(
        scenario={"users": 20, "seed": 1}, seconds=30.0, interrupted=True, machine=replace(MACHINE, sha512=300.0)
    )
    assert compare(first, first).notes == []
    assert compare(first, second).notes == [
        "The scenarios differ in users.",
        "One run took 60 s, the other 30 s: counts are not alike.",
        "The second run was interrupted.",
        "The machines are not equally fast: compare with care.",
    ]
