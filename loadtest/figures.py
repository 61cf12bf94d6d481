"""Figures of a measurement: a table for people, JSON for programs, and what the machine is worth beside them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

_STEPS = 2_000_000
_BLOCK = bytes(1 << 20)
_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `goal` and `how` (it was taken) are words."""

    name: str
    value: float
    unit: str
    goal: str
    how: str


@dataclass(frozen=True, slots=True)
class Machine:
    """How fast it is: figures from two machines compare only beside these."""

    processors: int
    python: str
    additions: float
    """Millions per second of Python's simplest loop."""
    sha512: float
    """MB/s of one core."""
    load: float
    """Its load average just before: above a few tenths, others disturb what is measured."""

    def __str__(self) -> str:
        return (
            f"{self.processors} processors, Python {self.python}: {self.additions:.1f} million additions/s, "
            f"SHA-512 {self.sha512:.0f} MB/s, load average {self.load:.2f}"
        )


def this_machine() -> Machine:
    """Measured now, in about half a second."""
    load = os.getloadavg()[0]
    adding = min(_timed(_add) for _ in range(3))
    hashing = _timed(_hash)
    return Machine(
        processors=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        additions=_STEPS / adding / 1e6,
        sha512=_BLOCKS * len(_BLOCK) / hashing / 1e6,
        load=load,
    )


def table(figures: Sequence[Figure]) -> str:
    """One line for each: what, measured, goal, how it was taken."""
    width = max(len(figure.name) for figure in figures)
    lines = [f"{'':<{width}} {'measured':>12} {'':<10} {'goal':<12} how it was taken"]
    lines += [
        f"{figure.name:<{width}} {shown(figure.value):>12} {figure.unit:<10} {figure.goal:<12} {figure.how}".rstrip()
        for figure in figures
    ]
    return "\n".join(lines)


def as_json(machine: Machine, figures: Sequence[Figure]) -> str:
    """The same for a program."""
    return json.dumps({"machine": asdict(machine), "figures": [asdict(figure) for figure in figures]}, indent=2)


def shown(value: float) -> str:
    """Three digits of what is small, all of what is large."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent do not exceed; 0.0 of nothing."""
    ranked = sorted(values)
    return ranked[max(0, -int(-len(ranked) * percent // 100) - 1)] if ranked else 0.0


def _add() -> None:
    total = 0
    for number in range(_STEPS):
        total += number


def _hash() -> None:
    digest = hashlib.sha512()
    for _ in range(_BLOCKS):
        digest.update(_BLOCK)


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
