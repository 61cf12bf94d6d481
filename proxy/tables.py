"""Tables and amounts in plain text, for whoever reads them in a terminal or pipes them into another program."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]
Tone = Literal["", "good", "poor", "bad"]

NARROWEST = 8
"""Character cells that a column keeps at least when a table has to fit."""

_GAP = "  "
_MORE = "…"
_TONES: Mapping[Tone, str] = {"": "", "good": "\x1b[32m", "poor": "\x1b[33m", "bad": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_UNITS = ((60.0, 1.0, "s"), (3600.0, 60.0, "min"), (48 * 3600.0, 3600.0, "h"), (float("inf"), 86400.0, "d"))
"""Ages below the first number of seconds are told in the unit of so many."""


@dataclass(frozen=True, slots=True)
class Column:
    """What of a row is shown. Numbers stand at the `right` and are never shortened; `tone` is used where colours are.

    A column that is empty in all rows is left out.
    """

    title: str
    cell: Callable[[Row], str]
    right: bool = False
    tone: Callable[[Row], Tone] = lambda row: ""


def table(columns: Sequence[Column], rows: Sequence[Row], *, width: int = 0, coloured: bool = False) -> list[str]:
    """The lines of a table, none without rows. Texts are shortened to fit in `width` character cells; 0: never."""
    filled = [(column, [printable(column.cell(row)) for row in rows]) for column in columns]
    filled = [(column, cells) for column, cells in filled if any(cells)]
    shown = [column for column, _ in filled]
    widths = _fitted(shown, [_widest(column.title, cells) for column, cells in filled], width)
    lines = [_line(shown, [column.title for column in shown], widths)] if shown else []
    for row, texts in zip(rows, zip(*(cells for _, cells in filled), strict=True), strict=False):
        lines.append(_line(shown, texts, widths, [column.tone(row) for column in shown] if coloured else ()))
    return lines


def printable(text: str) -> str:
    """The text, with what could disturb a terminal or a line written as an escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def cells_wide(text: str) -> int:
    """How many character cells a printable text takes (Unicode Standard Annex 11; marks take none)."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def shortened(text: str, width: int) -> str:
    """The text in at most so many character cells, at least one: what is left out at the end is told."""
    if cells_wide(text) <= width:
        return text
    while cells_wide(text) > width - 1:
        text = text[:-1]
    return text + _MORE


def age(seconds: float) -> str:
    """A time span in one unit: "12 s", "3 min", "5 h", "12 d"."""
    seconds = max(0.0, seconds)
    unit, name = next((unit, name) for most, unit, name in _UNITS if seconds < most)
    return f"{int(seconds // unit)} {name}"


def since(moment: object, now: float) -> str:
    """How long ago a moment was, both in seconds since 1970; "" for none."""
    return age(now - moment) if isinstance(moment, (int, float)) and moment else ""


def amount(number: object, noun: str, plural: str = "") -> str:
    """A number and what is counted: "1 user", "1,234 users"."""
    count = number if isinstance(number, int) else 0
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def whole(number: object) -> str:
    """A count in a cell: "1,234"."""
    return f"{number:,}" if isinstance(number, int) else ""


def parts(counts: Mapping[str, int]) -> str:
    """What a whole consists of: "3 serving, 1 standby"; "" for nothing."""
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)


def _widest(title: str, cells: Sequence[str]) -> int:
    return max(map(cells_wide, (title, *cells)))


def _fitted(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    """The widest texts give way first, none below `NARROWEST`: then lines are longer than wanted."""
    fitted = list(widths)
    excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - width if width else 0
    texts = [position for position, column in enumerate(columns) if not column.right]
    while excess > 0 and texts:
        widest = max(texts, key=fitted.__getitem__)
        if fitted[widest] <= NARROWEST:
            break
        fitted[widest] -= 1
        excess -= 1
    return fitted


def _line(columns: Sequence[Column], texts: Sequence[str], widths: Sequence[int], tones: Sequence[Tone] = ()) -> str:
    cells = []
    for position, (column, text, width) in enumerate(zip(columns, texts, widths, strict=True)):
        short = text if column.right else shortened(text, width)
        blanks = " " * (width - cells_wide(short))
        tone = _TONES[tones[position]] if tones else ""
        short = f"{tone}{short}{_PLAIN}" if tone else short
        cells.append(blanks + short if column.right else short + blanks)
    return _GAP.join(cells).rstrip()
