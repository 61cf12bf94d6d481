"""Many latencies in little memory: a histogram of logarithmic buckets that can be merged and sent through a pipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from loadtest.report.model import Latency

_LEAST = 1e-6
"""Seconds; what is shorter counts as this."""
_GROWTH = 1.02
_STEP = math.log(_GROWTH)
_LAST = 1046
"""The last bucket ends at about 1,000 s and takes whatever is longer: so much memory at most, however long it runs."""


class LatencyHistogram:
    """Counts latencies by buckets that are 2 % apart: a quantile is right within 1 %, from 1 µs to 1,000 s."""

    __slots__ = ("_buckets", "_most", "_total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._total = 0.0
        self._most = 0.0

    def add(self, seconds: float) -> None:
        """Counts one."""
        bucket = min(_LAST, int(math.log(seconds / _LEAST) / _STEP)) if seconds > _LEAST else 0
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self._total += seconds
        self._most = max(self._most, seconds)

    def merge(self, other: LatencyHistogram) -> None:
        """Adds what the other has counted."""
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
        self._total += other._total
        self._most = max(self._most, other._most)

    @property
    def count(self) -> int:
        """How many."""
        return sum(self._buckets.values())

    @property
    def mean(self) -> float:
        """Seconds; 0.0 of nothing."""
        return self._total / self.count if self._buckets else 0.0

    @property
    def most(self) -> float:
        """The longest, exactly; 0.0 of nothing."""
        return self._most

    def quantile(self, q: float) -> float:
        """The latency that the share `q` (0 to 1) of all does not exceed, within 1 %; 0.0 of nothing."""
        rank = max(1, math.ceil(q * self.count))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(self._most, _LEAST * _GROWTH ** (bucket + 0.5)) if bucket < _LAST else self._most
        return 0.0

    def latency(self, phase: str) -> Latency:
        """The row of a report."""
        p50, p90, p99, p999 = (self.quantile(q) for q in (0.5, 0.9, 0.99, 0.999))
        return Latency(phase, self.count, p50, p90, p99, p999, self._most)

    def plain(self) -> dict[str, Any]:
        """What a pipe or JSON can carry; `of` makes a histogram of it again."""
        return {"buckets": sorted(self._buckets.items()), "total": self._total, "most": self._most}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> LatencyHistogram:
        """The histogram that `plain` came from."""
        histogram = cls()
        histogram._buckets = {int(bucket): int(count) for bucket, count in plain["buckets"]}
        histogram._total = float(plain["total"])
        histogram._most = float(plain["most"])
        return histogram
