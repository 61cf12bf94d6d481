"""What a client process has seen since it last told its parent: sessions, latencies, errors, and what was done."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from loadtest.report.latency import LatencyHistogram

PHASES = (
    "connect",
    "tls",
    "greeting",
    "login",
    "arrival",
    "select",
    "noop",
    "fetch",
    "append",
    "push",
    "retrieve",
    "script",
    "refusal",
)
"""In this order in a report. `arrival` is from the first packet until logged in, `push` from sending until fetched."""

MOST_KINDS = 64
"""Kinds of errors that are told apart; further ones are one kind."""

OTHERS = "others"

EXAMPLE = 200
"""Bytes of an example that are kept."""


class Fault(msgspec.Struct, frozen=True):
    """One kind of error: how often since the last snapshot, when first (seconds since the run began), an example."""

    count: int
    first: float
    example: str


class Snapshot(msgspec.Struct, frozen=True):
    """What one client process tells its parent about once a second; all counts are since the snapshot before."""

    process: int
    at: float
    """Seconds since the run began."""
    states: dict[str, int]
    """Sessions by what they are doing now."""
    counts: dict[str, int]
    latencies: dict[str, dict[str, Any]]
    faults: dict[str, Fault]
    disturbances: dict[str, Fault]
    """The same of what an event of the scenario explains."""
    longest: dict[str, float]
    """The longest of something so far, in seconds."""
    late: float
    """Seconds that a timer came too late at most: above a few milliseconds it is the fleet that is slow."""
    last: bool = False


class Tally:
    """Counts; `snapshot` takes what has come together and begins anew."""

    def __init__(self, process: int) -> None:
        self._process = process
        self.states: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._latencies: dict[str, LatencyHistogram] = {}
        self._longest: dict[str, float] = {}
        self._faults: dict[str, Fault] = {}
        self._disturbances: dict[str, Fault] = {}

    def count(self, what: str, number: int = 1) -> None:
        """Something was done."""
        self._counts[what] += number

    def counted(self, what: str) -> int:
        """How often, since the last snapshot."""
        return self._counts[what]

    def faulted(self, kind: str) -> int:
        """How often something went wrong that no event explains, since the last snapshot."""
        fault = self._faults.get(kind)
        return fault.count if fault is not None else 0

    def took(self, phase: str, seconds: float) -> None:
        """A phase lasted so long."""
        histogram = self._latencies.get(phase)
        if histogram is None:
            histogram = self._latencies[phase] = LatencyHistogram()
        histogram.add(seconds)

    def longest(self, what: str, seconds: float) -> None:
        """Something lasted so long, and only the longest counts."""
        self._longest[what] = max(self._longest.get(what, 0.0), seconds)

    def fault(self, kind: str, at: float, example: str, *, explained: bool = False) -> None:
        """Something went wrong, `at` so many seconds since the run began; `explained` by an event of the scenario."""
        found = self._disturbances if explained else self._faults
        if kind not in found and len(found) >= MOST_KINDS:
            kind = OTHERS
        before = found.get(kind)
        found[kind] = Fault(1, at, example[:EXAMPLE]) if before is None else again(before, 1)

    def snapshot(self, at: float, late: float, *, last: bool = False) -> Snapshot:
        """All of it; what is counted begins at 0 again, the states stay."""
        taken = Snapshot(
            self._process,
            at,
            {state: number for state, number in self.states.items() if number},
            dict(self._counts),
            {phase: histogram.plain() for phase, histogram in self._latencies.items()},
            self._faults,
            self._disturbances,
            dict(self._longest),
            late,
            last,
        )
        self._counts = Counter()
        self._latencies, self._faults, self._disturbances = {}, {}, {}
        return taken


def again(fault: Fault, times: int) -> Fault:
    """The same kind, so many times more."""
    return Fault(fault.count + times, fault.first, fault.example)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def packed(snapshot: Snapshot) -> bytes:
    """For a pipe."""
    return _encoder.encode(snapshot)


def unpacked(data: bytes) -> Snapshot:
    """What `packed` made; raises msgspec.DecodeError for anything else."""
    return _decoder.decode(data)
