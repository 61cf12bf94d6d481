"""A report, and two of them side by side, as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.figures import shown
from loadtest.report.amounts import amount, clock, duration, moment, printable
from loadtest.report.comparison import NOTABLE, Comparison, Held, Row, Verdict
from loadtest.report.model import Measure, Report, Spread, products, verdict

_STYLES: Mapping[Verdict, str] = {"better": "green", "worse": "bold red", "same": "dim", "noise": "dim", "": ""}
_Cell = str | Text


def show(report: Report, console: Console) -> None:
    """Verdict, checks, figures, latencies, errors, distribution and measures."""
    good, words = verdict(report.checks)
    console.print(Text(printable(report.title), style="bold"))
    stopped = ", interrupted" if report.interrupted else ""
    console.print(f"{moment(report.began)}, {duration(report.seconds)}{stopped}", style="dim", highlight=False)
    console.print(words, style="green" if good else "bold red", highlight=False)
    for check in report.checks:
        _print_check(console, "✓" if check.held else "✗", check.held, check.name, check.text)
    figures = [(row.name, amount(row.value, row.unit), row.goal, row.how) for row in report.figures]
    _table(console, "Figures", ("", "measured>", "goal", "how it was taken"), figures)
    _table(console, "Latency", ("phase", "count>", "median>", "p90>", "p99>", "p99.9>", "longest>"), _latencies(report))
    errors = [(row.kind, shown(row.count), clock(row.first), row.example) for row in report.errors]
    _table(console, "Errors", ("kind", "count>", "first at>", "one of them"), errors)
    shares = [(row.shard, row.backend, shown(row.sessions), shown(row.logins)) for row in report.distribution]
    _table(console, "Distribution", ("shard", "backend", "sessions>", "logins>"), shares)
    show_measures(report.measures, console)


def show_measures(measures: Sequence[Measure], console: Console) -> None:
    """Median and range of each product, and how each was taken."""
    names = products(measures)
    rows = [
        (measure.name, measure.unit, *(_spread(measure.values.get(name)) for name in names), measure.how)
        for measure in measures
    ]
    _table(console, "Side by side", ("", "unit", *(f"{name}>" for name in names), "how it was taken"), rows)


def show_comparison(comparison: Comparison, console: Console, percent: float = NOTABLE) -> None:
    """What differs, by section, with what got better or worse by more than `percent`."""
    for name, report in (("first ", comparison.first), ("second", comparison.second)):
        console.print(Text(f"{name}  {printable(report.title)}, {moment(report.began)}, {duration(report.seconds)}"))
    for note in comparison.notes:
        console.print(Text(printable(note), style="yellow"))
    for check in comparison.checks:
        _print_held(console, check)
    for section in dict.fromkeys(row.section for row in comparison.rows):
        rows = [_compared(row, percent) for row in comparison.rows if row.section == section]
        _table(console, section, ("", "first>", "second>", "ratio>", ""), rows)
    console.print(summary(comparison, percent), highlight=False)


def summary(comparison: Comparison, percent: float = NOTABLE) -> str:
    """How much got worse and better, in a sentence."""
    worse, better = (len(comparison.found(kind, percent)) for kind in ("worse", "better"))
    if not worse and not better:
        return f"Nothing got better or worse by more than {percent:g} %."
    return f"{worse or 'Nothing'} got worse, {better or 'nothing'} got better by more than {percent:g} %."


def _latencies(report: Report) -> list[tuple[str, ...]]:
    return [
        (row.phase, shown(row.count), *map(duration, (row.p50, row.p90, row.p99, row.p999, row.most)))
        for row in report.latencies
    ]


def _spread(spread: Spread | None) -> _Cell:
    return Text(f"{shown(spread.median)}\n{shown(spread.least)} to {shown(spread.most)}") if spread else "–"


def _compared(row: Row, percent: float) -> tuple[_Cell, ...]:
    found = row.verdict(percent)
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    return row.name, row.told(row.first), row.told(row.second), ratio, Text(found, style=_STYLES[found])


def _print_held(console: Console, check: Held) -> None:
    mark = "→".join({True: "✓", False: "✗", None: "–"}[held] for held in (check.first, check.second))
    _print_check(console, mark, check.second is not False, check.name, check.text)


def _print_check(console: Console, mark: str, good: bool, name: str, words: str) -> None:
    line = Text(f"{mark} ", style="green" if good else "bold red")
    line.append(printable(name), style="default")
    line.append(f"  {printable(words)}", style="dim")
    console.print(line)


def _table(console: Console, title: str, heads: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> None:
    """A table, none without rows; heads that end with `>` are of columns of figures."""
    rows = list(rows)
    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for head in heads:
        right = head.endswith(">")
        table.add_column(head.rstrip(">"), justify="right" if right else "left", no_wrap=right, header_style="dim")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(printable(cell)) for cell in row))
    console.print()
    console.print(table)
