"""CPU and memory of processes over time, their children included."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from loadtest.report.model import Series
from loadtest.usage import Process, process, process_pss_kib, tree

RSS = " (RSS)"
"""Ends the name of a series of resident memory; the one without it is PSS, where that could be read."""

_MOST_PROCESSES = 64
"""What comes later is not sampled: a fork bomb under test is no reason for one here."""
_MOST_SAMPLES = 1000
"""Of one process; then every second one is dropped, so that a long run keeps its shape."""
_PSS_APART = 2.0
_PSS_COST = 100
"""PSS is read every 2 s, or so many times apart as reading it takes: at most 1 % of a core goes into it."""


@dataclass(slots=True)
class _Samples:
    at: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, at: float, value: float) -> None:
        self.at.append(at)
        self.values.append(value)
        if len(self.at) > _MOST_SAMPLES:
            del self.at[1::2], self.values[1::2]


@dataclass(slots=True)
class _Track:
    """What was seen of one process. CPU is kept as its running total: it can be thinned and loses nothing."""

    root: str
    name: str
    is_root: bool
    cpu: _Samples = field(default_factory=_Samples)
    rss: _Samples = field(default_factory=_Samples)
    pss: _Samples = field(default_factory=_Samples)

    def series(self, name: str) -> Iterator[Series]:
        cpu = self.cpu
        steps = list(zip(cpu.at, cpu.values, cpu.at[1:], cpu.values[1:], strict=False))
        cores = [(spent - before) / (at - since) if at > since else 0.0 for since, before, at, spent in steps]
        yield Series(name, "cpu", "cores", cpu.at[1:], cores)
        if self.pss.at:
            yield Series(name, "memory", "MiB", self.pss.at, self.pss.values)
        yield Series(name + RSS, "memory", "MiB", self.rss.at, self.rss.values)


class Sampler:
    """Samples trees of processes: one series of CPU and of memory for each process, children named after their root.

    A root below another one is a tree of its own. A child is called by its own name where that says whose it is
    (`vestibule-w0`), else by its root's and its own; those of equal names are numbered.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        """`roots`: name -> process id. A process need not live: what is gone is not sampled any more."""
        self._roots = dict(roots)
        self._tracks: dict[tuple[int, int], _Track] = {}
        self._pss_due = 0.0

    def sample(self, at: float) -> None:
        """Takes one sample; `at` is seconds since the run began. Call it about once a second."""
        alive = dict(self._alive())
        for seen, track in alive.items():
            track.name = seen.name
            track.cpu.add(at, seen.cpu_seconds)
            track.rss.add(at, seen.rss_kib / 1024)
        if at >= self._pss_due:
            self._sample_pss(at, alive)

    def series(self) -> list[Series]:
        """CPU ("cpu", cores used since the sample before) and memory ("memory", MiB, PSS and RSS) of each process."""
        names = _names(list(self._tracks.values()))
        return [
            series for track, name in zip(self._tracks.values(), names, strict=True) for series in track.series(name)
        ]

    def _alive(self) -> Iterator[tuple[Process, _Track]]:
        roots = set(self._roots.values())
        for name, root in self._roots.items():
            for pid in tree(root, without=roots):
                seen = process(pid)
                track = self._track(name, seen, pid == root) if seen else None
                if seen and track:
                    yield seen, track

    def _track(self, root: str, seen: Process, is_root: bool) -> _Track | None:
        key = seen.pid, seen.began
        if key not in self._tracks and len(self._tracks) < _MOST_PROCESSES:
            self._tracks[key] = _Track(root, seen.name, is_root)
        return self._tracks.get(key)

    def _sample_pss(self, at: float, alive: Mapping[Process, _Track]) -> None:
        began = time.perf_counter()
        for seen, track in alive.items():
            pss = process_pss_kib(seen.pid)
            if pss is not None:
                track.pss.add(at, pss / 1024)
        self._pss_due = at + max(_PSS_APART, _PSS_COST * (time.perf_counter() - began))


def _names(tracks: list[_Track]) -> list[str]:
    used: Counter[str] = Counter()
    names = []
    for track in tracks:
        name = _name(track, {other.name for other in tracks if other.is_root and other.root == track.root})
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name} {used[name]}")
    return names


def _name(track: _Track, names_of_root: set[str]) -> str:
    if track.is_root or track.name in names_of_root:
        return track.root
    return track.name if track.name.startswith(track.root) else f"{track.root} {track.name}"
