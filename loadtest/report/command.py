"""`vestibule loadtest report`: shows the report of a run, or what changed between two."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from loadtest.report.comparison import NOTABLE, compare
from loadtest.report.model import NotAReport, read
from loadtest.report.tables import show, show_comparison

DESCRIPTION = (
    "Show the report of a run as tables or as a page; with two reports, what changed from the first to the second."
)

_WORSE = 1
_CANNOT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "report", type=Path, metavar="FILE", help="a report that `run`, `compare` or `scale` has written"
    )
    parser.add_argument("second", type=Path, nargs="?", metavar="FILE", help="a later one, to compare with the first")
    parser.add_argument("--page", type=Path, metavar="OUT.html", help="write one self-contained HTML file")
    parser.add_argument(
        "--fail-worse",
        type=_percent,
        metavar="PERCENT",
        help="exit with 1 when anything got worse by more than this, or a check does not hold any more",
    )


def run(options: argparse.Namespace) -> int:
    """0; 1 when `--fail-worse` says so; 2 with a message when a file cannot be read or written."""
    try:
        return _one(options) if options.second is None else _two(options)
    except NotAReport as fault:
        return _refuse(str(fault))
    except OSError as fault:
        return _refuse(f"{options.page} cannot be written: {fault.strerror}")


def _one(options: argparse.Namespace) -> int:
    if options.fail_worse is not None:
        return _refuse("--fail-worse compares two reports; only one was given")
    report = read(options.report)
    if options.page:
        from loadtest.report.page import page  # what draws takes a second to load

        options.page.write_text(page(report), encoding="utf-8")
    else:
        show(report, Console())
    return 0


def _two(options: argparse.Namespace) -> int:
    comparison = compare(read(options.report), read(options.second))
    percent = NOTABLE if options.fail_worse is None else options.fail_worse
    if options.page:
        from loadtest.report.comparison_page import comparison_page

        options.page.write_text(comparison_page(comparison, percent), encoding="utf-8")
    else:
        show_comparison(comparison, Console(), percent)
    worse = comparison.found("worse", percent) if options.fail_worse is not None else []
    if worse:
        print(f"vestibule: got worse by more than {percent:g} %: {', '.join(worse)}", file=sys.stderr)
    return _WORSE if worse else 0


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a percentage of 0 or more")
    return value


def _refuse(reason: str) -> int:
    print(f"vestibule: {reason}", file=sys.stderr)
    return _CANNOT
