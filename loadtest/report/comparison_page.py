"""Two reports beside each other as one HTML file, with both runs in the same plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from loadtest.report.amounts import duration, moment
from loadtest.report.comparison import NOTABLE, Comparison, Held, Row, Verdict
from loadtest.report.model import Group, Report
from loadtest.report.pieces import Key, card, document, pairs, plot, section, table, text
from loadtest.report.plots import by_phase
from loadtest.report.svg import SERIES, VARIABLES
from loadtest.report.tables import summary
from loadtest.report.timelines import timeline

_MARKS: Mapping[Verdict, str] = {
    "better": '<span class="better">✓ better</span>',
    "worse": '<span class="worse">✗ worse</span>',
    "same": "same",
    "noise": "within its noise",
    "": "",
}
_HELD = {True: "✓", False: "✗", None: "–"}
_GROUPS: tuple[Group, ...] = get_args(Group)
_SECTIONS = ("Figures", "Measures", "Latency", "Errors")


def comparison_page(comparison: Comparison, percent: float = NOTABLE) -> str:
    """The file's text; better and worse are by more than `percent`."""
    runs = [comparison.first, comparison.second]
    plots = "".join(timeline(group, runs) for group in _GROUPS)
    body = (
        section("The runs", card(pairs([_run("First", runs[0]), _run("Second", runs[1])]))),
        section("Checks", _checks(comparison.checks)),
        *(section(name, _rows(comparison, name, percent)) for name in _SECTIONS),
        section("Latency of each phase", _phases(runs)),
        section("Over time", f'<div class="plots">{plots}</div>' if plots else ""),
    )
    return document(f"{runs[0].title} / {runs[1].title}", _head(comparison, percent), "".join(body))


def _head(comparison: Comparison, percent: float) -> str:
    first, second = comparison.first.title, comparison.second.title
    title = f"{text(first)}: two runs" if first == second else f"{text(first)} → {text(second)}"
    notes = "".join(f'<p class="note">{text(note)}</p>' for note in comparison.notes)
    kind = "bad" if comparison.found("worse", percent) else "good"
    return f'<h1>{title}</h1><p class="verdict {kind}">{text(summary(comparison, percent))}</p>{notes}'


def _run(name: str, report: Report) -> tuple[str, str]:
    return (
        name,
        f"{report.title}, {moment(report.began)}, {duration(report.seconds)}, {report.machine}: {report.command}",
    )


def _checks(checks: list[Held]) -> str:
    rows = [
        (text(check.name), _HELD[check.first], _HELD[check.second], _MARKS[check.verdict], text(check.text))
        for check in checks
    ]
    return card(table(("", "First", "Second", "", "Seen"), rows, words=(0, 3, 4))) if rows else ""


def _rows(comparison: Comparison, name: str, percent: float) -> str:
    rows = [_row(row, percent) for row in comparison.rows if row.section == name]
    return card(table(("", "First", "Second", "Ratio", ""), rows, words=(0, 4))) if rows else ""


def _row(row: Row, percent: float) -> tuple[str, ...]:
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    return text(row.name), text(row.told(row.first)), text(row.told(row.second)), ratio, _MARKS[row.verdict(percent)]


def _phases(runs: list[Report]) -> str:
    if not any(report.latencies for report in runs):
        return ""
    keys = [Key(name, VARIABLES[SERIES[number]]) for number, name in enumerate(("first", "second"))]
    svg = by_phase("phases", "Latency of each phase", [report.latencies for report in runs])
    note = "large dot: median; then p90, p99, p99.9; bar: the longest; logarithmic"
    return plot("Quantiles", note, svg, keys)
