"""Outcomes as a run could have them."""

from __future__ import annotations

from typing import Any

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.record import Record
from loadtest.report.latency import LatencyHistogram
from loadtest.report.sampling import Sampler
from loadtest.scale.census import Census
from loadtest.scale.outcome import End, Hold, Outcome, Step

KIB = 1024


def census_of(pss: int = 100 * KIB, **more: Any) -> Census:
    values: dict[str, Any] = {"pss": pss, "most": 50, "all_together": 100, "kernel": 0}
    return Census(**(values | more))


def arrivals_of(*seconds: float) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for one in seconds:
        histogram.add(one)
    return histogram


def step_of(sessions: int, /, *, each: float = 16.0, opened: int = 1000, **more: Any) -> Step:
    """A step at which a session costs so many KiB more than an empty daemon of 100 MiB, and 8 KiB of the kernel's."""
    census = census_of(100 * KIB + int(each * sessions), kernel=16 * KIB * sessions, most=2 * sessions)
    values: dict[str, Any] = {
        "wanted": sessions,
        "sessions": sessions,
        "opened": opened,
        "seconds": 10.0,
        "cpu": 2.0,
        "resting": 0.1,
        "census": census,
        "arrivals": arrivals_of(0.1, 0.2),
    }
    return Step(**(values | more))


def outcome_of(*steps: Step, **more: Any) -> Outcome:
    """A run in which all went well."""
    values: dict[str, Any] = {
        "began": 0.0,
        "record": Record(60),
        "attendance": Attendance(1.0),
        "sampler": Sampler({}),
        "fresh": 80 * KIB,
        "empty": census_of(),
        "idle": 0.0,
        "steps": list(steps),
        "hold": Hold(seconds=60, cpu=6.0, sessions=10, pushed=3, pushes=arrivals_of(0.002)),
        "end": End(emptied=1.0, returned=2.0, left={}, census=census_of()),
    }
    return Outcome(**(values | more))
