"""A picture of measures side by side: bars per product with the range of the rounds, ours highlighted, goals marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.figures import shown
from loadtest.report.amounts import amount, printable
from loadtest.report.model import Measure, Spread, is_ours, products
from loadtest.report.svg import VARIABLES, Colour, drawing, markup

_WIDE = 900
_COLUMNS = 2
_LABEL = 92
_BAR = 19
_HEAD = 46
_GAP = 16
_FOOT = 34
_BROKEN = 3.0
"""A bar more than so many times as long as the next one is cut off, marked so, and its value says how far it goes."""

PICTURE: Mapping[str, str] = {
    Colour.INK: "#1b2430",
    Colour.MUTED: "#5b6675",
    Colour.GRID: "#e3e7ec",
    Colour.PAPER: "#ffffff",
    Colour.ACCENT: "#1f6feb",
    Colour.QUIET: "#aab4c0",
    Colour.GOAL: "#c2410c",
}
"""The colours of a picture that stands alone, on white."""


def picture(measures: Sequence[Measure], title: str = "Vestibule and its peers") -> str:
    """An SVG file's text: on white paper with round corners, so that it can be read on a dark page too."""
    svg = drawn(measures, name="picture", title=title, colours=PICTURE)
    head, rest = svg.split(">", 1)
    width, height = head.partition('viewBox="0 0 ')[2].partition('"')[0].split()
    paper = f'<rect width="{width}" height="{height}" rx="12" fill="{PICTURE[Colour.PAPER]}"/>'
    font = "font-family=\"-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif\""
    return f'{head} width="{width}" height="{height}" {font}>{paper}{rest}\n'


def drawn(measures: Sequence[Measure], *, name: str, title: str, colours: Mapping[str, str] = VARIABLES) -> str:
    """The same as an inline `<svg>` in the colours of a page."""
    rows = [measures[start : start + _COLUMNS] for start in range(0, len(measures), _COLUMNS)]
    heights = [_HEAD + _BAR * max((len(measure.values) for measure in row), default=0) for row in rows]
    figure = drawing(_WIDE, sum(heights) + _GAP * len(rows) + _FOOT)
    top = float(_GAP)
    for row, height in zip(rows, heights, strict=True):
        for column, measure in enumerate(row):
            _panel(figure, measure, column, top)
        top += height + _GAP
    _foot(figure)
    told = "; ".join(f"{measure.name}: {_told(measure)}" for measure in measures)
    return markup(figure, name=name, title=title, text=printable(told, 8000), colours=colours)


def _panel(figure: Figure, measure: Measure, column: int, top: float) -> None:
    width, height = figure.bbox.width, figure.bbox.height
    left = _GAP + column * (width - _GAP) / _COLUMNS
    room = (width - _GAP) / _COLUMNS - _GAP
    bars = _BAR * max(len(measure.values), 1)
    figure.text(
        left / width,
        1 - (top + 13) / height,
        printable(measure.name, 60),
        fontsize=13,
        fontweight="bold",
        color=Colour.INK,
    )
    figure.text(left / width, 1 - (top + 28) / height, _unit(measure), fontsize=10.5, color=Colour.MUTED)
    place = ((left + _LABEL) / width, 1 - (top + _HEAD + bars) / height, (room - _LABEL) / width, bars / height)
    _bars(figure.add_axes(place), measure)


def _unit(measure: Measure) -> str:
    return printable(measure.unit + ("" if measure.lower_is_better else ", higher is better"), 60)


def _bars(axes: Axes, measure: Measure) -> None:
    axes.set_axis_off()
    names = products([measure])
    limit = _limit(measure)
    axes.set_xlim(0, limit * 1.22)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
    for place, product in enumerate(names):
        _bar(axes, place, product, measure.values[product], limit)
    if measure.goal is not None and names:
        _goal(axes, measure.goal, len(names))


def _bar(axes: Axes, place: int, product: str, spread: Spread, limit: float) -> None:
    ours = is_ours(product)
    weight, ink = ("bold", Colour.INK) if ours else ("normal", Colour.MUTED)
    axes.text(
        -0.02,
        place,
        printable(product, 14),
        ha="right",
        va="center",
        fontsize=11,
        color=ink,
        fontweight=weight,
        transform=axes.get_yaxis_transform(),
    )
    length = min(spread.median, limit * 1.04)
    axes.barh(place, length, height=0.62, color=Colour.ACCENT if ours else Colour.QUIET)
    end = min(max(spread.most, length), limit * 1.04)
    if spread.median > limit:
        for cut in (0.92, 0.95):
            axes.plot(
                [limit * cut, limit * (cut + 0.02)], [place + 0.42, place - 0.42], color=Colour.PAPER, linewidth=2.5
            )
    elif spread.most > spread.least:
        axes.plot([spread.least, end], [place, place], color=Colour.INK, linewidth=1)
        axes.plot([spread.least, end], [place, place], color=Colour.INK, linewidth=0, marker="|", markersize=6)
    axes.text(
        end + limit * 0.02,
        place,
        shown(spread.median),
        va="center",
        fontsize=11,
        color=Colour.INK,
        fontweight=weight,
        bbox={"facecolor": Colour.PAPER, "edgecolor": "none", "pad": 0.5},
    )


def _goal(axes: Axes, goal: float, rows: int) -> None:
    axes.plot(
        [goal, goal],
        [-0.55, rows - 0.5],
        color=Colour.GOAL,
        linewidth=1.2,
        linestyle=(0, (3, 2)),
        zorder=1.5,
        clip_on=False,
    )
    axes.text(goal, -0.65, f"goal {shown(goal)}", ha="center", va="bottom", fontsize=9.5, color=Colour.GOAL)


def _limit(measure: Measure) -> float:
    """Where the longest bar ends, or is cut."""
    lengths = sorted(spread.median for spread in measure.values.values())
    longest = lengths[-1] if lengths else 1.0
    if len(lengths) > 1 and longest > _BROKEN * max(lengths[-2], measure.goal or 0.0) > 0:
        longest = 1.5 * max(lengths[-2], measure.goal or 0.0)
    return max(longest, measure.goal or 0.0) or 1.0


def _foot(figure: Figure) -> None:
    text = "Bars: the median of all rounds; lines on them: their range. Lower is better where nothing else is said."
    figure.text(_GAP / figure.bbox.width, 14 / figure.bbox.height, text, fontsize=10, color=Colour.MUTED)


def _told(measure: Measure) -> str:
    parts = (f"{product} {amount(measure.values[product].median, measure.unit)}" for product in products([measure]))
    return ", ".join(parts)
