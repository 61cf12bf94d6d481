"""Quantiles of many latencies in little memory."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from loadtest.report.latency import LatencyHistogram

SECONDS = st.floats(1e-6, 999.0)


def histogram(*seconds: float) -> LatencyHistogram:
    """One that has counted them."""
    made = LatencyHistogram()
    for value in seconds:
        made.add(value)
    return made


@given(st.lists(SECONDS, min_size=1), st.sampled_from((0.0, 0.5, 0.9, 0.99, 0.999, 1.0)))
def test_a_quantile_is_right_within_one_percent(values: list[float], q: float) -> None:
    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    assert math.isclose(histogram(*values).quantile(q), exact, rel_tol=0.0101)


@given(st.lists(SECONDS), st.lists(SECONDS))
def test_merging_is_the_same_as_counting_in_one(some: list[float], others: list[float]) -> None:
    merged = histogram(*some)
    merged.merge(histogram(*others))
    together = histogram(*some, *others)
    assert merged.latency("login") == together.latency("login")
    assert math.isclose(merged.mean, together.mean)


@given(st.lists(SECONDS))
def test_it_survives_a_pipe(values: list[float]) -> None:
    sent = histogram(*values)
    received = LatencyHistogram.of(json.loads(json.dumps(sent.plain())))
    assert received.latency("login") == sent.latency("login")
    assert received.mean == sent.mean


def test_of_nothing_everything_is_zero() -> None:
    nothing = histogram()
    assert (nothing.count, nothing.mean, nothing.most, nothing.quantile(0.99)) == (0, 0.0, 0.0, 0.0)


def test_what_is_too_short_or_too_long_to_tell_apart_is_counted_all_the_same() -> None:
    odd = histogram(0.0, -1.0, 1e-9, 5000.0, 1e9)
    assert odd.count == 5
    assert odd.quantile(0.5) <= 1.02e-6
    assert odd.quantile(1.0) == odd.most == 1e9


def test_its_memory_is_bounded() -> None:
    wide = histogram(*(10 ** (exponent / 300) for exponent in range(-3000, 3000)))
    assert len(wide.plain()["buckets"]) <= 1047
