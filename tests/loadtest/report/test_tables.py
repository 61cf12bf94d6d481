"""Reports in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadtest.report.comparison import compare
from loadtest.report.tables import show, show_comparison, summary

from .example import report


@pytest.fixture
def console() -> Console:
    """One that remembers what it was told."""
    return Console(file=io.StringIO(), width=170)


def told(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_report_is_shown_whole(console: Console) -> None:
    show(report(seed=8, held=False), console)
    for words in (
        "1 of 3 checks did not hold",
        "✗ everybody is back  1,871 of 1,900 within 10 s",
        "✓ mail is intact",
        "<= 0.41",
        "p99.9",
        "imap-4b",
        "Perdition",
    ):
        assert words in told(console)


def test_what_a_server_said_cannot_command_the_terminal_nor_the_markup(console: Console) -> None:
    show(report(), console)
    assert 'a1 NO [UNAVAILABLE] "<b>try again</b>" & later\\r\\n' in told(console)


def test_two_reports_stand_side_by_side(console: Console) -> None:
    show_comparison(compare(report(), report(slower=1.5, held=False)), console)
    for words in (
        "✓→✗ everybody is back",
        "login CPU",
        "0.392 ms",
        "0.588 ms",
        "1.50",
        "worse",
        "got worse, nothing got better",
    ):
        assert words in told(console)


def test_the_summary_counts_by_the_percentage() -> None:
    faster = compare(report(slower=1.5), report())
    assert summary(faster).startswith("Nothing got worse, ")
    assert summary(faster).endswith(" got better by more than 10 %.")
    assert summary(faster, 60.0) == "Nothing got better or worse by more than 60 %."
