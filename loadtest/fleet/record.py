"""What all client processes have seen, put together: totals, and how it went over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtest.fleet.tally import Fault, Snapshot, again
from loadtest.report.latency import LatencyHistogram
from loadtest.report.model import Series

MOST_POINTS = 600
"""Points of a series."""

OVER_TIME = ("arrival", "fetch", "noop")
"""Phases of which latencies are kept over time as well."""

INSIDE = ("idling", "imap", "pop3", "managesieve")
"""States in which a session is logged in."""

Faults = dict[str, Fault]


@dataclass(slots=True)
class Slice:
    """A second or more of the run."""

    states: dict[int, dict[str, int]] = field(default_factory=dict)
    """Process -> its sessions by state, as it told last."""
    counts: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, LatencyHistogram] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)


class Record:
    """Of a run of so many seconds; `add` takes what a process tells."""

    def __init__(self, seconds: float) -> None:
        self.width = max(1.0, seconds / MOST_POINTS)
        self.counts: Counter[str] = Counter()
        self.latencies: dict[str, LatencyHistogram] = {}
        self.faults: Faults = {}
        self.disturbances: Faults = {}
        self.longest: dict[str, float] = {}
        self.late = LatencyHistogram()
        """Each second's longest delay of a timer, over all processes."""
        self._slices: dict[int, Slice] = {}
        self._states: dict[int, dict[str, int]] = {}

    def add(self, snapshot: Snapshot) -> None:
        """Put one in; those after the end (the audit) add nothing to what is shown over time."""
        self.counts.update(snapshot.counts)
        _add_faults(self.faults, snapshot.faults)
        _add_faults(self.disturbances, snapshot.disturbances)
        for what, seconds in snapshot.longest.items():
            self.longest[what] = max(seconds, self.longest.get(what, 0.0))
        if not snapshot.last:
            self.late.add(max(snapshot.late, 1e-6))
            self._states[snapshot.process] = snapshot.states
            self._add_slice(snapshot)

    def states(self) -> Counter[str]:
        """Sessions by state, as last told."""
        return _total(self._states)

    def inside(self) -> list[tuple[float, int]]:
        """Seconds since the beginning, and sessions logged in then."""
        times = [number * self.width for number, _ in self._ordered()]
        return [(at, sum(states[name] for name in INSIDE)) for at, states in zip(times, self._sums(), strict=True)]

    def recent(self, phase: str, what: str) -> tuple[LatencyHistogram, float]:
        """Of the last slice that is complete: latencies of a phase, and how often per second something was counted."""
        slices = self._ordered()
        if len(slices) < 2:
            return LatencyHistogram(), 0.0
        last = slices[-2][1]
        return last.latencies.get(phase, LatencyHistogram()), last.counts[what] / self.width

    def series(self) -> list[Series]:
        """Everything that is shown over time."""
        slices = self._ordered()
        at = [number * self.width for number, _ in slices]
        return [*self._sessions(at), *self._rates(at), *self._quantiles(at), *self._errors(at)]

    def _add_slice(self, snapshot: Snapshot) -> None:
        one = self._slices.setdefault(int(max(0.0, snapshot.at) / self.width), Slice())
        one.states[snapshot.process] = snapshot.states
        one.counts.update(snapshot.counts)
        for found in (snapshot.faults, snapshot.disturbances):
            one.faults.update({kind: fault.count for kind, fault in found.items()})
        for phase, plain in snapshot.latencies.items():
            histogram = LatencyHistogram.of(plain)
            self.latencies.setdefault(phase, LatencyHistogram()).merge(histogram)
            if phase in OVER_TIME:
                one.latencies.setdefault(phase, LatencyHistogram()).merge(histogram)

    def _ordered(self) -> list[tuple[int, Slice]]:
        return sorted(self._slices.items())

    def _sums(self) -> list[Counter[str]]:
        """Sessions by state in each slice; a process that told nothing in one is as it was before."""
        latest: dict[int, dict[str, int]] = {}
        sums = []
        for _, one in self._ordered():
            latest |= one.states
            sums.append(_total(latest))
        return sums

    def _sessions(self, at: list[float]) -> list[Series]:
        sums = self._sums()
        names = sorted({name for states in sums for name in states})
        return [Series(name, "sessions", "sessions", at, [float(states[name]) for states in sums]) for name in names]

    def _rates(self, at: list[float]) -> list[Series]:
        def rate(name: str, group: str, unit: str, scale: float = 1.0) -> Series:
            values = [one.counts[name] * scale / self.width for _, one in self._ordered()]
            return Series(name, group, unit, at, values)  # type: ignore[arg-type]

        return [
            rate("logins", "logins", "/s"),
            rate("received", "transfer", "MiB/s", 2**-20),
            rate("sent", "transfer", "MiB/s", 2**-20),
        ]

    def _quantiles(self, at: list[float]) -> list[Series]:
        found = []
        for phase in OVER_TIME:
            for name, quantile in (("p50", 0.5), ("p99", 0.99)):
                pairs = [
                    (second, one.latencies[phase].quantile(quantile))
                    for second, (_, one) in zip(at, self._ordered(), strict=True)
                    if phase in one.latencies
                ]
                if pairs:
                    times, values = map(list, zip(*pairs, strict=True))
                    found.append(Series(f"{phase} {name}", "latency", "s", times, values))
        return found

    def _errors(self, at: list[float]) -> list[Series]:
        slices = [one for _, one in self._ordered()]
        kinds = sorted({kind for one in slices for kind in one.faults})
        return [Series(kind, "errors", "/s", at, [one.faults[kind] / self.width for one in slices]) for kind in kinds]


def _total(states: Mapping[int, Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in states.values():
        total.update(one)
    return total


def _add_faults(to: Faults, found: Mapping[str, Fault]) -> None:
    for kind, fault in found.items():
        to[kind] = again(to[kind], fault.count) if kind in to else fault
