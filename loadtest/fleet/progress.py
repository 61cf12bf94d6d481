"""How a run goes, while it goes: a live table on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.record import INSIDE, Record
from loadtest.fleet.running import Watch
from loadtest.fleet.scenario import Scenario

EVERY = 5.0
"""Seconds between two lines where there is no terminal."""

_SHOWN_ERRORS = 5


@contextmanager
def progress(scenario: Scenario, output: TextIO = sys.stdout) -> Iterator[Watch]:
    """What shows it, inside the block."""
    console = Console(file=output)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda now, record, attendance: live.update(panel(scenario, now, record, attendance))
    else:
        yield Lines(scenario, lambda text: print(text, file=output, flush=True))


class Lines:
    """One line every few seconds."""

    def __init__(self, scenario: Scenario, show: Callable[[str], None]) -> None:
        self._scenario = scenario
        self._show = show
        self._due = 0.0

    def __call__(self, now: float, record: Record, attendance: Attendance) -> None:
        if now >= self._due:
            self._due = max(now, 0.0) + EVERY
            self._show(line(self._scenario, now, record))


def line(scenario: Scenario, now: float, record: Record) -> str:
    """How it goes in one line."""
    states = record.states()
    latencies, rate = record.recent("arrival", "logins")
    errors = sum(fault.count for fault in record.faults.values())
    explained = sum(fault.count for fault in record.disturbances.values())
    return (
        f"{moment(scenario, now)}: {sum(states[name] for name in INSIDE):,} logged in of {scenario.sessions:,}, "
        f"{rate:.0f} logins/s (p50 {latencies.quantile(0.5) * 1e3:.1f} ms, p99 {latencies.quantile(0.99) * 1e3:.1f} ms)"
        f", {errors:,} errors" + (f", {explained:,} explained by events" if explained else "")
    )


def moment(scenario: Scenario, now: float) -> str:
    """Where in the run we are."""
    if now > scenario.seconds:
        return "audit"
    return f"{max(0.0, now):.0f} of {scenario.seconds:.0f} s"


def panel(scenario: Scenario, now: float, record: Record, attendance: Attendance) -> Group:
    """The same as a table, with more beside it."""
    return Group(
        f"[bold]{escape(scenario.title)}[/bold]  {line(scenario, now, record)}",
        _states(record),
        _backends(attendance),
        _errors(record),
    )


def _states(record: Record) -> Table:
    table = Table(title="clients", box=None, show_header=True)
    states = record.states()
    names = [name for name in sorted(states) if states[name]]
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(*(f"{states[name]:,}" for name in names))
    return table


def _backends(attendance: Attendance) -> Table:
    table = Table(title="sessions of backends", box=None)
    for name in sorted(attendance.now):
        table.add_column(name, justify="right")
    table.add_row(*(f"{attendance.now[name]:,}" for name in sorted(attendance.now)))
    return table


def _errors(record: Record) -> Table:
    table = Table("errors", "count", "the first of them", box=None)
    for kind, fault in sorted(record.faults.items(), key=lambda item: -item[1].count)[:_SHOWN_ERRORS]:
        table.add_row(kind, f"{fault.count:,}", escape(fault.example))
    return table
