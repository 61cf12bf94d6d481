"""Amounts as a person reads them, and texts that are safe to show."""

from __future__ import annotations

import json
import time

from loadtest.figures import shown

_UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min"))
"""Durations below so many seconds are multiplied by that and told in this unit."""


def duration(seconds: float) -> str:
    """Three digits and the unit that suits: `412 µs`, `3.2 ms`, `1.24 s`, `10 min`, `2.5 h`."""
    for below, factor, unit in _UNITS:
        if abs(seconds) < below:
            return f"{shown(_rounded(seconds * factor))} {unit}" if seconds else "0"
    return f"{shown(_rounded(seconds / 3600))} h"


def amount(value: float, unit: str) -> str:
    """A value and its unit, if it has one."""
    return f"{shown(_rounded(value))} {unit}".rstrip()


def clock(seconds: float) -> str:
    """A moment of a run: `1:05`, `1:02:03`; `-` before it."""
    whole = round(abs(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    text = f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
    return f"-{text}" if seconds < 0 and whole else text


def moment(unix: float) -> str:
    """Date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(unix))


def printable(text: str, most: int = 500) -> str:
    """The text in `most` characters at most, with what could disturb a terminal or a line written as an escape."""
    clean = text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) < 100 else value
