"""What changed from one run to another, and whether that is better or worse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.report.amounts import amount, duration
from loadtest.report.goals import Better, better
from loadtest.report.model import Latency, Measure, Report, Spread, is_ours

Section = Literal["Figures", "Latency", "Errors", "Measures"]
Verdict = Literal["better", "worse", "same", "noise", ""]
"""`noise`: the difference is not larger than what repeating a run makes; empty: not judged."""

NOTABLE = 10.0
"""Percent: what differs by less is called the same."""

_BEYOND = 10
"""A quantile is judged when at least so many values lie beyond it in both runs; with fewer it is luck."""
_DEVIATIONS = 2.0
"""Counts of errors differ when they do so by more than so many standard deviations."""
_QUANTILES = ((0.5, "p50", "median"), (0.9, "p90", "p90"), (0.99, "p99", "p99"), (0.999, "p999", "p99.9"))


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in both runs; None where a run does not have it. `noisy` ones are not judged."""

    section: Section
    name: str
    unit: str
    first: float | None
    second: float | None
    better: Better
    noisy: bool = False

    @property
    def ratio(self) -> float | None:
        """The second by the first; None where that says nothing."""
        return self.second / self.first if self.first and self.second is not None else None

    @property
    def loss(self) -> float:
        """Percent by which the second is worse, infinite when something is that should not be; below 0 when better."""
        if self.first is None or self.second is None or not self.better or self.noisy:
            return 0.0
        before, after = (self.first, self.second) if self.better == "less" else (self.second, self.first)
        if before == after:
            return 0.0
        return (after / before - 1) * 100 if before > 0 else math.inf

    def verdict(self, percent: float = NOTABLE) -> Verdict:
        """Better or worse when it is so by more than `percent` (that is: by its inverse)."""
        if self.first is None or self.second is None or not self.better:
            return ""
        if self.noisy:
            return "same" if self.first == self.second else "noise"
        if self.loss > percent:
            return "worse"
        return "better" if 1 + self.loss / 100 < 1 / (1 + percent / 100) else "same"

    def told(self, value: float | None) -> str:
        """One of the values as a person reads it."""
        if value is None:
            return "–"
        return duration(value) if self.section == "Latency" else amount(value, self.unit)


@dataclass(frozen=True, slots=True)
class Held:
    """A check in both runs; None where a run did not have it."""

    name: str
    first: bool | None
    second: bool | None
    text: str
    """What the second run saw, or the first where the second does not check it."""

    @property
    def verdict(self) -> Verdict:
        """A check that does not hold is worse than one that is not there."""
        if self.second is False:
            return "same" if self.first is False else "worse"
        if self.first is False:
            return "better" if self.second else ""
        return "same"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs beside each other; `notes` say why they may not be comparable."""

    first: Report
    second: Report
    rows: list[Row]
    checks: list[Held]
    notes: list[str]

    def found(self, verdict: Verdict, percent: float = NOTABLE) -> list[str]:
        """The names of what is so, checks first."""
        checks = [check.name for check in self.checks if check.verdict == verdict]
        return checks + [row.name for row in self.rows if row.verdict(percent) == verdict]


def compare(first: Report, second: Report) -> Comparison:
    """Decides by what is in the reports alone."""
    rows = [*_figures(first, second), *_latencies(first, second), *_errors(first, second), *_measures(first, second)]
    return Comparison(first, second, rows, list(_checks(first, second)), list(_notes(first, second)))


def _figures(first: Report, second: Report) -> Iterator[Row]:
    old = {figure.name: figure for figure in first.figures}
    new = {figure.name: figure for figure in second.figures}
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        known = after or before
        if known and (before is None or after is None or before.unit == after.unit):
            yield Row(
                "Figures",
                name,
                known.unit,
                before.value if before else None,
                after.value if after else None,
                better(name, known.unit, known.goal),
            )


def _latencies(first: Report, second: Report) -> Iterator[Row]:
    old = {latency.phase: latency for latency in first.latencies}
    new = {latency.phase: latency for latency in second.latencies}
    for phase in dict.fromkeys((*old, *new)):
        before, after = old.get(phase), new.get(phase)
        for q, field, name in _QUANTILES:
            seconds: list[float | None] = [getattr(latency, field) if latency else None for latency in (before, after)]
            yield Row("Latency", f"{phase} {name}", "s", seconds[0], seconds[1], "less", _by_luck(q, before, after))


def _by_luck(q: float, *runs: Latency | None) -> bool:
    return any(latency is not None and round(latency.count * (1 - q), 6) < _BEYOND for latency in runs)


def _errors(first: Report, second: Report) -> Iterator[Row]:
    old = {error.kind: error.count for error in first.errors}
    new = {error.kind: error.count for error in second.errors}
    for kind in dict.fromkeys((*old, *new)):
        before, after = old.get(kind, 0), new.get(kind, 0)
        noisy = before > 0 and abs(after - before) <= _DEVIATIONS * math.sqrt(before + after)
        yield Row("Errors", kind, "", before, after, "less", noisy=noisy)


def _measures(first: Report, second: Report) -> Iterator[Row]:
    old = {measure.name: measure for measure in first.measures}
    for measure in second.measures:
        before = old.get(measure.name)
        if before and before.unit == measure.unit:
            yield from _products(before, measure)


def _products(before: Measure, after: Measure) -> Iterator[Row]:
    direction: Better = "less" if after.lower_is_better else "more"
    for product in dict.fromkeys((*before.values, *after.values)):
        old, new = before.values.get(product), after.values.get(product)
        first, second = (spread.median if spread else None for spread in (old, new))
        judged: Better = direction if is_ours(product) else ""
        yield Row("Measures", f"{after.name}, {product}", after.unit, first, second, judged, _overlap(old, new))


def _overlap(old: Spread | None, new: Spread | None) -> bool:
    return old is not None and new is not None and old.least <= new.most and new.least <= old.most


def _checks(first: Report, second: Report) -> Iterator[Held]:
    old = {check.name: check for check in first.checks}
    new = {check.name: check for check in second.checks}
    for name in dict.fromkeys((*new, *old)):
        before, after = old.get(name), new.get(name)
        known = after or before
        if known:
            yield Held(name, before.held if before else None, after.held if after else None, known.text)


def _notes(first: Report, second: Report) -> Iterator[str]:
    changed = sorted(_different(first, second))
    if changed:
        yield f"The scenarios differ in {', '.join(changed)}."
    if abs(first.seconds - second.seconds) > 0.05 * max(first.seconds, second.seconds):
        yield f"One run took {duration(first.seconds)}, the other {duration(second.seconds)}: counts are not alike."
    for name, report in (("first", first), ("second", second)):
        if report.interrupted:
            yield f"The {name} run was interrupted."
    yield from _machines(first, second)


def _different(first: Report, second: Report) -> Sequence[str]:
    names = {*first.scenario, *second.scenario}
    return [name for name in names if first.scenario.get(name) != second.scenario.get(name)]


def _machines(first: Report, second: Report) -> Iterator[str]:
    old, new = first.machine, second.machine
    speeds = [(old.additions, new.additions), (old.sha512, new.sha512)]
    if old.processors != new.processors or any(abs(a - b) > 0.15 * max(a, b) for a, b in speeds):
        yield "The machines are not equally fast: compare with care."
