"""The measures side by side as a table: in colours for a terminal, in Markdown for a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from loadtest.figures import Machine, shown
from loadtest.report.model import Measure, Spread


@dataclass(frozen=True, slots=True)
class Described:
    """A product as the table's notes tell of it."""

    name: str
    version: str
    has: str

    def __str__(self) -> str:
        return f"{self.name}{f' ({self.version})' if self.version else ''}: {self.has}"


@dataclass(frozen=True, slots=True)
class Told:
    """All that there is to tell. `absent` maps what was left out to the reason, `remarks` belong to single values."""

    machine: Machine
    rounds: int
    products: Sequence[Described]
    measures: Sequence[Measure]
    absent: Mapping[str, str]
    remarks: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What a cell is."""
        return f"Median (range) of {self.rounds} rounds" if self.rounds > 1 else "One round"

    @property
    def columns(self) -> list[str]:
        """The products that have a value somewhere, in their order."""
        measured = {name for measure in self.measures for name in measure.values}
        return [product.name for product in self.products if product.name in measured]


def cell(spread: Spread | None) -> str:
    """`410 (395-430)`: the median and the range of the rounds; a dash for nothing."""
    if spread is None:
        return "-"
    middle, least, most = (shown(value) for value in (spread.median, spread.least, spread.most))
    return middle if least == most else f"{middle} ({least}–{most})"


def goal(measure: Measure) -> str:
    """What Vestibule has to reach; empty when nothing was set."""
    if measure.goal is None:
        return ""
    return f"≤ {shown(measure.goal)}" if measure.goal else "0"


def best(measure: Measure, columns: Sequence[str]) -> set[str]:
    """Who has the least (or the most) of it; nobody when there is no difference."""
    medians = {name: measure.values[name].median for name in columns if name in measure.values}
    if len(set(medians.values())) < 2:
        return set()
    limit = (min if measure.lower_is_better else max)(medians.values())
    return {name for name, median in medians.items() if median == limit}


def terminal(told: Told) -> Table:
    """For a terminal: the best of each row stands out."""
    table = Table(box=box.SIMPLE_HEAD, title=told.title)
    for heading in ("", "unit", "goal", *told.columns):
        table.add_column(heading, justify="left" if heading in ("", "unit") else "right", no_wrap=heading != "")
    for measure in told.measures:
        leaders = best(measure, told.columns)
        cells = [Text(cell(measure.values.get(name)), "bold green" if name in leaders else "") for name in told.columns]
        table.add_row(measure.name, measure.unit, goal(measure), *cells)
    return table


def notes(told: Told) -> list[str]:
    """What has to stand beside the figures: the machine, the products, how each figure was taken, what is missing."""
    lines = [f"Machine: {told.machine}"]
    lines += map(str, told.products)
    lines += [f"{measure.name}: {measure.how}" for measure in told.measures]
    lines += told.remarks
    return lines + [f"left out: {place}: {reason}" for place, reason in told.absent.items()]


def markdown(told: Told) -> str:
    """For a README: the table, then the notes."""
    columns = told.columns
    rows = [["", "unit", "goal", *columns], ["---", "---", *["---:"] * (1 + len(columns))]]
    for measure in told.measures:
        leaders = best(measure, columns)
        cells = [(name, cell(measure.values.get(name))) for name in columns]
        marked = [f"**{text}**" if name in leaders else text for name, text in cells]
        rows.append([measure.name, measure.unit, goal(measure), *marked])
    lines = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
    return "\n".join([f"{told.title}, the best in bold.\n", *lines, "", *(f"- {note}" for note in notes(told))]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
