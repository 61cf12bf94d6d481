"""The report of a run: plain values, written as JSON and read back.

Times of a series and of an error are seconds since the run began; latencies are seconds; `began` is Unix time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from loadtest.figures import Figure, Machine

Group = Literal["sessions", "logins", "cpu", "memory", "latency", "errors", "transfer"]
"""What a series belongs to: those of one group are plotted together."""

VERSION = 1
"""Of the file; another one is not read."""


class NotAReport(Exception):
    """A file that holds no report of this version, with the reason."""


class Series(msgspec.Struct, frozen=True):
    """Values over time; `at` and `values` are of equal length, `at` never falls."""

    name: str
    group: Group
    unit: str
    at: list[float]
    values: list[float]

    def __post_init__(self) -> None:
        if len(self.at) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.at)} times but {len(self.values)} values")


class Latency(msgspec.Struct, frozen=True):
    """How long one phase took: `count` times, quantiles and the longest, in seconds."""

    phase: str
    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    most: float


class ErrorCount(msgspec.Struct, frozen=True):
    """One kind of error: how often, when first (seconds since the run began), and the words of one of them."""

    kind: str
    count: int
    first: float
    example: str


class Share(msgspec.Struct, frozen=True):
    """What one backend got: sessions (at the end, or at most; the scenario says) and logins in all."""

    backend: str
    shard: str
    sessions: int
    logins: int


class Check(msgspec.Struct, frozen=True):
    """Something that had to hold, whether it did, and what was seen."""

    name: str
    held: bool
    text: str


class Spread(msgspec.Struct, frozen=True):
    """The median of several rounds, and their range."""

    median: float
    least: float
    most: float


class Measure(msgspec.Struct, frozen=True):
    """One thing that was measured of several products; `goal` is ours. `how` it was taken is words."""

    name: str
    unit: str
    lower_is_better: bool = True
    goal: float | None = None
    values: dict[str, Spread] = {}
    how: str = ""


OURS = "vestibule"
"""How the name of our own product begins among others, in small letters."""


def is_ours(product: str) -> bool:
    """Whether it is the one that goals and verdicts are about."""
    return product.lower().startswith(OURS)


def products(measures: Sequence[Measure]) -> list[str]:
    """All that were measured, ours first."""
    names = dict.fromkeys(product for measure in measures for product in measure.values)
    return sorted(names, key=lambda product: not is_ours(product))


def verdict(checks: Sequence[Check]) -> tuple[bool, str]:
    """Whether all held, and so in words."""
    failed = sum(not check.held for check in checks)
    if not checks:
        return True, "Measured; nothing was to be checked"
    if failed:
        return False, f"{failed} of {len(checks)} checks did not hold"
    return True, "The check held" if len(checks) == 1 else f"All {len(checks)} checks held"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run has to tell."""

    title: str
    command: str
    scenario: dict[str, Any]
    began: float
    seconds: float
    machine: Machine
    figures: list[Figure] = []
    series: list[Series] = []
    latencies: list[Latency] = []
    errors: list[ErrorCount] = []
    distribution: list[Share] = []
    checks: list[Check] = []
    measures: list[Measure] = []
    interrupted: bool = False
    version: int = VERSION

    @property
    def held(self) -> bool:
        """Whether every check held."""
        return all(check.held for check in self.checks)


def write(report: Report, path: Path) -> None:
    """Writes it as JSON. What is not a finite number was not measured and is left out. Raises OSError."""
    finite = msgspec.structs.replace(
        report,
        figures=[figure for figure in report.figures if math.isfinite(figure.value)],
        series=[_finite(series) for series in report.series],
    )
    text = json.dumps(msgspec.to_builtins(finite), ensure_ascii=False, indent=1)
    path.write_bytes(text.encode(errors="replace") + b"\n")  # what a server said may be no text at all


def _finite(series: Series) -> Series:
    kept = [(at, value) for at, value in zip(series.at, series.values, strict=True) if math.isfinite(value)]
    return msgspec.structs.replace(series, at=[at for at, _ in kept], values=[value for _, value in kept])


def read(path: Path) -> Report:
    """Reads what `write` wrote. Raises NotAReport with the reason, also when the file cannot be read."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as fault:
        raise NotAReport(f"{path}: {fault.strerror}") from fault
    except msgspec.DecodeError as fault:
        raise NotAReport(f"{path} is not a report: {fault}") from fault
    if report.version != VERSION:
        raise NotAReport(f"{path} is a report of version {report.version}, this program reads version {VERSION}")
    return report
