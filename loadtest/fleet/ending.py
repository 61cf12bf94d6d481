"""How a load test ends: its report is shown and written, and the exit code says what came of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from loadtest.fleet.summary import show
from loadtest.report.model import Report, write

HELD, FAILED, CANNOT, INTERRUPTED = 0, 1, 2, 130


class CannotRun(Exception):
    """What was asked for is not possible; the text says why and what to do."""


def told(made: Report, *, report: Path | None, page: Path | None, others: Mapping[Path, str] | None = None) -> int:
    """Show it, write what is asked for and `others`, and return the exit code: 0 all checks held, 1 one did not, 2 a
    file could not be written, 130 interrupted."""
    show(made, sys.stdout)
    try:
        _write(made, report, page)
        for path, text in (others or {}).items():
            path.write_text(text)
    except OSError as fault:
        print(f"vestibule: {fault}", file=sys.stderr)
        return CANNOT
    if made.interrupted:
        return INTERRUPTED
    return HELD if made.held else FAILED


def _write(made: Report, report: Path | None, page: Path | None) -> None:
    if report is not None:
        write(made, report)
    if page is not None:
        from loadtest.report.page import page as drawn  # what draws takes a second to load

        page.write_text(drawn(made))
