"""The plots of a report, as inline SVG: values over time, latencies by phase, shares by backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from loadtest.figures import shown
from loadtest.report.amounts import clock, duration, printable
from loadtest.report.model import Latency, Series, Share
from loadtest.report.svg import SERIES, Colour, drawing, markup

WIDE = 560
_HIGH = 216
_ROW = 24
_POINTS = 240
"""Of one line at most: more cannot be seen at this size."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds between marks of time."""
_NOTHING = (1e-3, 1.0)
"""Seconds of a logarithmic axis that nothing is on."""
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1.5, 2)))
MOST_SHARES = 48
"""Bars of one plot."""


class Line:
    """One line of a plot, and how it is drawn."""

    __slots__ = ("colour", "dash", "series", "strength")

    def __init__(self, series: Series, number: int, *, dash: int | None = None, strength: float = 1.0) -> None:
        """`number` chooses colour and stroke; `dash` (0 to 3) the stroke alone; `strength` is 1.0 for what matters."""
        self.series = series
        self.colour = SERIES[number % len(SERIES)]
        self.dash = DASHES[(number // len(SERIES) if dash is None else dash) % len(DASHES)]
        self.strength = strength


def over_time(name: str, title: str, lines: Sequence[Line], *, logarithmic: bool = False, wide: bool = False) -> str:
    """Lines over the time of the run; `logarithmic` is for latencies, in seconds; a `wide` plot has twice the width."""
    figure = drawing(WIDE * (1 + wide), _HIGH)
    left = 48 / figure.bbox.width
    axes = figure.add_axes((left, 0.12, 1 - left - 18 / figure.bbox.width, 0.84))
    for line in lines:
        at, values = _thinned(line.series)
        if logarithmic:
            values = [value if value > 0 else math.nan for value in values]
        axes.plot(
            at,
            values,
            color=line.colour,
            linestyle=line.dash,
            linewidth=1.6 * line.strength,
            alpha=line.strength,
            solid_capstyle="round",
        )
        if not logarithmic and line.strength == 1.0 and len(lines) < 5:
            axes.fill_between(at, values, color=line.colour, alpha=0.08, linewidth=0)
    _bare(axes)
    _time_axis(axes, max((line.series.at[-1] for line in lines if line.series.at), default=0.0))
    _value_axis(axes, logarithmic)
    return markup(figure, name=name, title=title, text=_told(lines, logarithmic))


def by_phase(name: str, title: str, runs: Sequence[Sequence[Latency]]) -> str:
    """For each phase a line from its median to its longest, p90, p99, p99.9 on it; each run below the other."""
    phases = list(dict.fromkeys(latency.phase for run in runs for latency in run))
    figure = drawing(WIDE * len(runs), 44 + (_ROW + 10 * (len(runs) - 1)) * max(len(phases), 1) + 12)
    axes = figure.add_axes(
        (90 / figure.bbox.width, 40 / figure.bbox.height, 1 - 118 / figure.bbox.width, 1 - 52 / figure.bbox.height)
    )
    for number, run in enumerate(runs):
        offset = (number - (len(runs) - 1) / 2) * 0.34
        for latency in run:
            _phase(axes, latency, phases.index(latency.phase) + offset, SERIES[number])
    axes.set_ylim(len(phases) - 0.4, -0.6)
    axes.set_yticks(range(len(phases)), [printable(phase, 18) for phase in phases])
    _bare(axes, "x")
    axes.set_xscale("log")
    if not any(latency.most > 0 for run in runs for latency in run):
        axes.set_xlim(*_NOTHING)
    axes.xaxis.set_major_locator(LogLocator(10, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
    told = (f"{row.phase}: median {duration(row.p50)}, p99 {duration(row.p99)}" for run in runs for row in run)
    return markup(figure, name=name, title=title, text=printable("; ".join(told), 2000))


def by_backend(name: str, title: str, shares: Sequence[Share]) -> str:
    """Sessions and logins of each backend, those of a shard together and in one colour; at most MOST_SHARES of them."""
    shares = sorted(shares, key=lambda share: (share.shard, share.backend))[:MOST_SHARES]
    shards = [(shard, list(members)) for shard, members in groupby(shares, key=lambda share: share.shard)]
    rows: list[tuple[Share, str]] = []
    places: list[float] = []
    for number, (_, members) in enumerate(shards):
        for share in members:
            places.append(len(rows) + number * 0.6)
            rows.append((share, SERIES[number % len(SERIES)]))
    figure = drawing(2 * WIDE, 34 + _ROW * (len(rows) + 0.6 * max(len(shards) - 1, 0)))
    height = 1 - 32 / figure.bbox.height
    for left, what in ((0.14, "sessions"), (0.60, "logins")):
        axes = figure.add_axes((left, 4 / figure.bbox.height, 0.38, height))
        _bars(
            axes,
            what,
            [
                (place, share.backend, getattr(share, what), colour)
                for place, (share, colour) in zip(places, rows, strict=True)
            ],
        )
        if what == "logins":
            axes.set_yticks([])
    told = (f"{share.backend} ({share.shard}): {share.sessions} sessions, {share.logins} logins" for share, _ in rows)
    return markup(figure, name=name, title=title, text=printable("; ".join(told), 4000))


def _phase(axes: Axes, latency: Latency, place: float, colour: str) -> None:
    marks = [max(seconds, 1e-6) for seconds in (latency.p50, latency.p90, latency.p99, latency.p999)]
    axes.plot([marks[0], max(latency.most, marks[0])], [place, place], color=colour, linewidth=1.2, alpha=0.35)
    axes.plot([marks[0], marks[2]], [place, place], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round")
    for seconds, size in zip(marks, (46.0, 16.0, 16.0, 6.0), strict=True):
        axes.scatter([seconds], [place], s=size, color=colour, zorder=3, linewidths=0)
    axes.plot([max(latency.most, 1e-6)], [place], marker="|", color=colour, markersize=7, alpha=0.7)


def _bars(axes: Axes, what: str, rows: Sequence[tuple[float, str, int, str]]) -> None:
    most = max((value for *_, value, _ in rows), default=0) or 1
    for place, _, value, colour in rows:
        axes.barh(place, value, height=0.64, color=colour, alpha=0.85)
        axes.text(value + most * 0.012, place, shown(value), va="center", fontsize=10.5, color=Colour.MUTED)
    axes.set_title(what, fontsize=11.5, color=Colour.MUTED, loc="left")
    axes.set_xlim(0, most * 1.12)
    axes.set_ylim((rows[-1][0] if rows else 0) + 0.6, -0.6)
    axes.set_yticks([place for place, *_ in rows], [printable(name, 22) for _, name, *_ in rows])
    _bare(axes, "")
    axes.set_xticks([])


def _bare(axes: Axes, grid: str = "y") -> None:
    """Nothing but what is read: no frame, no ticks, a faint grid behind."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=10.5, labelcolor=Colour.MUTED, pad=6)
    axes.set_axisbelow(True)
    if grid == "y":
        axes.yaxis.grid(visible=True, color=Colour.GRID, linewidth=0.8)
    elif grid == "x":
        axes.xaxis.grid(visible=True, color=Colour.GRID, linewidth=0.8)


def _time_axis(axes: Axes, seconds: float) -> None:
    seconds = max(seconds, 1.0)
    step = next((step for step in _STEPS if seconds / step <= 7), seconds / 7)
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(FixedLocator([step * number for number in range(int(seconds / step) + 1)]))
    axes.tick_params("x", pad=8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value) if step >= 15 else f"{value:g} s"))


def _value_axis(axes: Axes, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_yscale("log")
        if not any(value > 0 for line in axes.lines for value in np.asarray(line.get_ydata())):
            axes.set_ylim(*_NOTHING)
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 3.0), numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))
        return
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if abs(value) >= 1e4 else f"{value:g}"


def _thinned(series: Series) -> tuple[list[float], list[float]]:
    """Of every few neighbours the greatest, so that no peak is lost."""
    size = -(-len(series.at) // _POINTS) or 1
    starts = range(0, len(series.at), size)
    peaks = [max(range(start, min(start + size, len(series.at))), key=series.values.__getitem__) for start in starts]
    return [series.at[peak] for peak in peaks], [series.values[peak] for peak in peaks]


def _told(lines: Sequence[Line], logarithmic: bool) -> str:
    parts = []
    for line in lines:
        values = line.series.values or [0.0]
        most = duration(max(values)) if logarithmic else f"{shown(max(values))} {line.series.unit}"
        parts.append(f"{line.series.name}: at most {most}".rstrip())
    return printable("; ".join(parts), 2000)
