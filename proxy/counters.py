"""Metrics as plain numbers in one memory that all processes share: whoever counts writes its own part, anybody reads.

The memory is an anonymous shared mapping made before the fork. It has one slab for each worker, one for the mirror's
process, one for the director and one for the supervisor, all of the same layout, which a table of families fixes when
the daemon starts. A slab has one writer at a time, so counting takes no lock; what a dead worker has counted stays.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

CELL = 8
"""Bytes of one number."""

CACHE_LINE = 64
"""Slabs begin on a line of their own, so that two workers never write to the same one."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets for the phases of a login; the last finite one is the login's budget."""


class Kind(Enum):
    """What a family's numbers do, which decides how the slabs make one figure."""

    COUNTER = "counter"
    """Only grows; the slabs are added up."""
    GAUGE = "gauge"
    """Goes up and down while its process lives; the slabs are added up."""
    STATE = "state"
    """A gauge of each process by itself; reported with the label `worker`."""
    FACT = "fact"
    """A gauge that only the supervisor sets."""
    HISTOGRAM = "histogram"
    """Observations in buckets, with their number and sum; the slabs are added up."""


Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its name without the prefix, what it means, and all combinations of label values there can be."""

    name: str
    text: str
    kind: Kind
    labels: tuple[str, ...] = ()
    values: tuple[Labels, ...] = ((),)
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Cells for one combination of label values; a histogram has its buckets, one for the rest, and the sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram as read: observations in each bucket (the last is beyond all bounds), and the sum of all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Counter:
    """One number that only grows, at one place of one slab."""

    __slots__ = ("_cells", "_index")

    def __init__(self, cells: memoryview, index: int) -> None:
        self._cells = cells
        self._index = index

    def add(self, amount: int = 1) -> None:
        """Counts `amount` more."""
        self._cells[self._index] += amount


class Gauge:
    """One number that is set, at one place of one slab."""

    __slots__ = ("_cells", "_index")

    def __init__(self, cells: memoryview[float], index: int) -> None:
        self._cells = cells
        self._index = index

    def set(self, value: float) -> None:
        """Replaces the number."""
        self._cells[self._index] = value


class Histogram:
    """The buckets and the sum of one histogram in one slab."""

    __slots__ = ("_bounds", "_counts", "_first", "_sum", "_sums")

    def __init__(self, counts: memoryview, sums: memoryview[float], first: int, bounds: tuple[float, ...]) -> None:
        self._counts = counts
        self._sums = sums
        self._first = first
        self._sum = first + len(bounds) + 1
        self._bounds = bounds

    def observe(self, seconds: float) -> None:
        """Counts one observation; a bucket holds what is less than or equal to its bound."""
        self._counts[self._first + bisect_left(self._bounds, seconds)] += 1
        self._sums[self._sum] += seconds


class Layout:
    """Where in a slab each number lives."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.families = {family.name: family for family in families}
        self._index: dict[tuple[str, Labels], int] = {}
        self.cells = 0
        for family in self.families.values():
            for labels in family.values:
                self._index[family.name, labels] = self.cells
                self.cells += family.width

    def index(self, name: str, labels: Labels) -> int:
        """The first cell of one series; KeyError for one that the table does not have."""
        return self._index[name, labels]


class Slab:
    """The part of the memory that one process writes, and the way to its numbers."""

    def __init__(self, layout: Layout, memory: memoryview) -> None:
        self._layout = layout
        self.whole = memory.cast("q")
        self.real = memory.cast("d")

    def start(self) -> None:
        """Forgets what described the process that had this slab before (its sessions ended with it); counters stay."""
        for family in self._layout.families.values():
            if family.kind in (Kind.GAUGE, Kind.STATE):
                for labels in family.values:
                    self.real[self._layout.index(family.name, labels)] = 0.0

    def counter(self, name: str, *labels: str) -> Counter:
        """The counter `name` with these label values; raises KeyError when the table has no such series."""
        self._check(name, Kind.COUNTER)
        return Counter(self.whole, self._layout.index(name, labels))

    def counters(self, name: str, *labels: str) -> Mapping[str, Counter]:
        """The counters `name` whose label values begin with these, by the value of the label that follows."""
        fitting = [values for values in self._layout.families[name].values if values[:-1] == labels]
        return {values[-1]: self.counter(name, *values) for values in fitting}

    def gauge(self, name: str, *labels: str) -> Gauge:
        """The gauge `name` (state and fact included); raises KeyError when the table has no such series."""
        self._check(name, Kind.GAUGE, Kind.STATE, Kind.FACT)
        return Gauge(self.real, self._layout.index(name, labels))

    def gauges(self, name: str, *labels: str) -> Mapping[str, Gauge]:
        """The gauges `name` whose label values begin with these, by the value of the label that follows."""
        fitting = [values for values in self._layout.families[name].values if values[:-1] == labels]
        return {values[-1]: self.gauge(name, *values) for values in fitting}

    def histogram(self, name: str, *labels: str) -> Histogram:
        """The histogram `name`; raises KeyError when the table has no such series."""
        self._check(name, Kind.HISTOGRAM)
        return Histogram(self.whole, self.real, self._layout.index(name, labels), self._layout.families[name].bounds)

    def number(self, name: str, labels: Labels = ()) -> float:
        """One number of this slab, as it is now."""
        cells = self.whole if self._layout.families[name].kind is Kind.COUNTER else self.real
        value: float = cells[self._layout.index(name, labels)]
        return value

    def distribution(self, name: str, labels: Labels = ()) -> Distribution:
        """One histogram of this slab, as it is now."""
        family = self._layout.families[name]
        first = self._layout.index(name, labels)
        last = first + len(family.bounds) + 1
        return Distribution(family.bounds, tuple(self.whole[first:last]), self.real[last])

    def _check(self, name: str, *kinds: Kind) -> None:
        if self._layout.families[name].kind not in kinds:
            raise TypeError(f"{name} is a {self._layout.families[name].kind.value}")


class Counters:
    """The whole memory: made once, before the first fork, and inherited by every process."""

    def __init__(self, families: Iterable[Family], workers: int) -> None:
        self._layout = Layout(families)
        size = -(-max(self._layout.cells * CELL, 1) // CACHE_LINE) * CACHE_LINE
        whole = size * (workers + 3)
        view = memoryview(mmap.mmap(-1, whole))
        parts = (view[start : start + size] for start in range(0, whole, size))
        self._slabs = tuple(Slab(self._layout, part) for part in parts)

    @property
    def families(self) -> Sequence[Family]:
        """The table the memory was laid out for."""
        return tuple(self._layout.families.values())

    @property
    def workers(self) -> Sequence[Slab]:
        """The slabs of the workers, by slot."""
        return self._slabs[:-3]

    @property
    def mirror(self) -> Slab:
        """The slab of the process that keeps the mirror."""
        return self._slabs[-3]

    @property
    def director(self) -> Slab:
        """The director's slab."""
        return self._slabs[-2]

    @property
    def supervisor(self) -> Slab:
        """The supervisor's slab: restarts, certificates, draining."""
        return self._slabs[-1]

    def number(self, name: str, labels: Labels = ()) -> float:
        """A counter or gauge over all slabs."""
        return sum(slab.number(name, labels) for slab in self._slabs)

    def distribution(self, name: str, labels: Labels = ()) -> Distribution:
        """A histogram over all slabs."""
        parts = [slab.distribution(name, labels) for slab in self._slabs]
        counts = tuple(map(sum, zip(*(part.counts for part in parts), strict=True)))
        return Distribution(parts[0].bounds, counts, sum(part.total for part in parts))


def live_workers(counters: Counters, now: float, patience: float) -> Iterator[tuple[int, Slab]]:
    """The workers, with their slots, that went round their loop within `patience` seconds before `now` (monotonic)."""
    for slot, slab in enumerate(counters.workers):
        heartbeat = slab.number("worker_heartbeat_seconds")
        if heartbeat and now - heartbeat <= patience:
            yield slot, slab
