"""The plots of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from loadtest.report.model import Group, Latency, Series, Share
from loadtest.report.plots import MOST_SHARES, Line, by_backend, by_phase, over_time

from .example import parsed

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def told(svg: str) -> str:
    return parsed(svg).findtext(f"{SVG}desc") or ""


def line(at: Sequence[float], values: Sequence[float], group: Group = "logins") -> Line:
    return Line(Series("logins", group, "per s", list(at), list(values)), 0)


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [(0.0, ["0 s", "1 s"]), (6.0, ["0 s", "6 s"]), (180.0, ["0:00", "3:00"]), (7200.0, ["0:00", "2:00:00"])],
)
def test_time_is_marked_in_round_steps(seconds: float, marks: list[str]) -> None:
    shown = texts(over_time("plot", "Logins", [line([0.0, seconds], [1.0, 2.0])]))
    assert set(marks) <= set(shown)
    assert sum(":" in mark or mark.endswith(" s") for mark in shown) <= 8


def test_a_peak_survives_however_many_values_there_are() -> None:
    values = [1.0] * 100_000
    values[54_321] = 900.0
    svg = over_time("plot", "Logins", [line([float(at) for at in range(100_000)], values)])
    assert len(svg) < 20_000
    assert told(svg) == "logins: at most 900 per s"
    assert "800" in texts(svg)


def test_latencies_have_a_logarithmic_axis_and_gaps_where_there_were_none() -> None:
    svg = over_time("plot", "Latency", [line([0, 1, 2, 3], [0.001, 0.0, 1.0, 0.1], "latency")], logarithmic=True)
    assert {"1 ms", "10 ms", "100 ms", "1 s"} <= set(texts(svg))
    assert told(svg) == "logins: at most 1 s"


def test_a_plot_of_nothing_is_still_one() -> None:
    for svg in (
        over_time("plot", "Logins", []),
        over_time("plot", "Logins", [line([], [])]),
        over_time("plot", "Latency", [line([0.0], [0.0])], logarithmic=True),
        by_phase("plot", "Latency", [[]]),
        by_phase("plot", "Latency", [[Latency("login", 0, 0.0, 0.0, 0.0, 0.0, 0.0)]]),
        by_backend("plot", "Backends", []),
        by_backend("plot", "Backends", [Share("imap-1", "one", 0, 0)]),
    ):
        assert parsed(svg).get("role") == "img"


def test_each_phase_has_a_row_and_each_run_is_told() -> None:
    runs = [[Latency("login", 9, 0.004, 0.01, 0.02, 0.03, 0.5)], [Latency("fetch", 9, 0.001, 0.01, 0.02, 0.03, 0.5)]]
    svg = by_phase("plot", "Latency", runs)
    assert {"login", "fetch"} <= set(texts(svg))
    assert told(svg) == "login: median 4 ms, p99 20 ms; fetch: median 1 ms, p99 20 ms"


def test_backends_stand_by_their_shards_and_are_not_too_many() -> None:
    shares = [Share(f"imap-{number:03}", f"shard-{number % 2}", number, 10 * number) for number in range(100)]
    svg = by_backend("plot", "Backends", shares)
    names = [text for text in texts(svg) if text.startswith("imap-")]
    assert len(names) == MOST_SHARES
    assert names[:2] == ["imap-000", "imap-002"]
    assert told(svg).startswith("imap-000 (shard-0): 0 sessions, 0 logins; imap-002")


def test_numbers_of_an_axis_are_short() -> None:
    svg = over_time("plot", "Logins", [line([0.0, 1.0], [0.0, 2.4e6])])
    assert any(re.fullmatch(r"[\d.]+ M", text) for text in texts(svg))
    assert math.isfinite(float(parsed(svg).get("viewBox", "").split()[2]))
