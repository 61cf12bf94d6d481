"""The end of a run on the terminal: figures, latencies, errors, backends and checks, each in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from loadtest.figures import shown
from loadtest.report.model import Report

WIDTH = 150
"""Columns where there is no terminal."""


def show(report: Report, output: TextIO) -> None:
    """Print it."""
    console = Console(file=output)
    if not console.is_terminal:
        console = Console(file=output, width=WIDTH)
    for table in tables(report):
        console.print(table)


def tables(report: Report) -> Iterator[RenderableType]:
    """Its parts, without those that are empty."""
    ended = "interrupted after" if report.interrupted else "ran for"
    yield f"\n[bold]{escape(report.title)}[/bold], {ended} {report.seconds:.0f} s"
    yield _figures(report)
    if report.latencies:
        yield _latencies(report)
    if report.distribution:
        yield _distribution(report)
    if report.errors:
        yield _errors(report)
    yield _checks(report)


def _figures(report: Report) -> Table:
    table = Table("figure", "", "", "how it was taken", box=None)
    for figure in report.figures:
        table.add_row(figure.name, shown(figure.value), figure.unit, escape(figure.how))
    table.columns[1].justify = "right"
    return table


def _latencies(report: Report) -> Table:
    table = Table("milliseconds", "count", "p50", "p90", "p99", "p99.9", "most", box=None)
    for one in report.latencies:
        values = (one.p50, one.p90, one.p99, one.p999, one.most)
        table.add_row(one.phase, f"{one.count:,}", *(f"{value * 1e3:,.2f}" for value in values))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _distribution(report: Report) -> Table:
    table = Table("backend", "shard", "most sessions", "logins", box=None)
    for share in report.distribution:
        table.add_row(share.backend, share.shard, f"{share.sessions:,}", f"{share.logins:,}")
    for column in table.columns[2:]:
        column.justify = "right"
    return table


def _errors(report: Report) -> Table:
    table = Table("errors", "count", "first after", "the first of them", box=None)
    for error in report.errors:
        table.add_row(error.kind, f"{error.count:,}", f"{error.first:.1f} s", escape(error.example))
    return table


def _checks(report: Report) -> Table:
    table = Table("check", "", "", box=None)
    for check in report.checks:
        verdict = "[green]held[/green]" if check.held else "[bold red]FAILED[/bold red]"
        table.add_row(check.name, verdict, escape(check.text))
    return table
