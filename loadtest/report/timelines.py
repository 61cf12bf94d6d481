"""The series of one or two runs as plots over time, one for each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loadtest.report.amounts import amount, duration
from loadtest.report.model import Group, Report, Series
from loadtest.report.pieces import Key, plot
from loadtest.report.plots import Line, over_time
from loadtest.report.sampling import RSS
from loadtest.report.svg import SERIES, VARIABLES

_TITLES: Mapping[Group, str] = {
    "sessions": "Sessions",
    "logins": "Logins",
    "latency": "Latency over time",
    "cpu": "CPU of each process",
    "memory": "Memory of each process",
    "transfer": "Transfer",
    "errors": "Errors over time",
}
_SECONDS: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}
_MOST = 10
"""Names in one plot: those that reach highest."""
_STROKES = ("solid", "dashed", "dotted", "dashed")

_Named = dict[str, Series]


def timeline(group: Group, runs: Sequence[Report], *, wide: bool = False) -> str:
    """The plot of a group as markup, empty without series. Of two runs, the first one is dashed."""
    found = [_named(report, group) for report in runs]
    names = _names(found)
    if not names:
        return ""
    shown = sorted(names, key=lambda name: -_most(found, name))[:_MOST]
    shown.sort(key=names.index)
    lines = [line for number, name in enumerate(shown) for line in _lines(found, name, number)]
    keys = [_key(group, found, name, number, paired=len(runs) > 1) for number, name in enumerate(shown)]
    svg = over_time(f"timeline-{group}", _TITLES[group], lines, logarithmic=group == "latency", wide=wide)
    return plot(_TITLES[group], _note(found, names, shown), svg, keys, wide=wide)


def _named(report: Report, group: Group) -> _Named:
    """Those of latency in seconds, whatever their unit is."""
    found = [series for series in report.series if series.group == group and series.at]
    return {series.name: _in_seconds(series) if group == "latency" else series for series in found}


def _in_seconds(series: Series) -> Series:
    factor = _SECONDS.get(series.unit, 1.0)
    return Series(series.name, series.group, "s", series.at, [value * factor for value in series.values])


def _names(found: Sequence[_Named]) -> list[str]:
    """All but resident memory that is drawn beside the other."""
    every = list(dict.fromkeys(name for run in found for name in run))
    return [name for name in every if not (name.endswith(RSS) and name.removesuffix(RSS) in every)]


def _most(found: Sequence[_Named], name: str) -> float:
    return max(max(run[name].values) for run in found if name in run)


def _lines(found: Sequence[_Named], name: str, number: int) -> Iterator[Line]:
    if len(found) > 1:
        for run, dash, strength in zip(found, (1, 0), (0.6, 1.0), strict=True):
            if name in run:
                yield Line(run[name], number, dash=dash, strength=strength)
        return
    if name + RSS in found[0]:
        yield Line(found[0][name + RSS], number, dash=2, strength=0.5)
    yield Line(found[0][name], number)


def _key(group: Group, found: Sequence[_Named], name: str, number: int, *, paired: bool) -> Key:
    told = [_value(group, run[name]) if name in run else "–" for run in found]
    stroke = "solid" if paired else _STROKES[number // len(SERIES) % len(_STROKES)]
    return Key(name, VARIABLES[SERIES[number % len(SERIES)]], stroke, " → ".join(told))


def _value(group: Group, series: Series) -> str:
    most = max(series.values)
    return duration(most) if group == "latency" else amount(most, "")


def _note(found: Sequence[_Named], names: Sequence[str], shown: Sequence[str]) -> str:
    units = dict.fromkeys(series.unit for run in found for series in run.values() if series.unit)
    parts = [", ".join(units)] if "s" not in units else ["logarithmic"]
    if any(name + RSS in found[0] for name in shown) and len(found) == 1:
        parts.append("solid: PSS, dotted: RSS")
    parts.append("dashed: the first run; figures: the peaks" if len(found) > 1 else "figures: the peaks")
    if len(names) > len(shown):
        least = max(_most(found, name) for name in names if name not in shown)
        parts.append(f"{len(names) - len(shown)} more, none above {amount(least, '')}")
    return "; ".join(filter(None, parts))
