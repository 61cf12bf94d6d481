"""Where commands show what they have to say: a terminal, which has a width and a reader, or anything else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable

LOOK_EVERY = 0.5
"""Seconds between two looks at something that goes on."""

pause: Callable[[float], None] = time.sleep


class Screen:
    """Standard output, as it is at the moment this is made."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._shown = ""
        """The progress that was shown last."""

    @property
    def width(self) -> int:
        """Character cells of a line; 0: any number."""
        return shutil.get_terminal_size().columns if self.is_terminal else 0

    @property
    def coloured(self) -> bool:
        """Whether colours are wanted (see https://no-color.org)."""
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def show(self, lines: Iterable[str]) -> None:
        """Print lines."""
        print("\n".join(lines), flush=True)

    def show_json(self, value: object) -> None:
        """Print a value for another program."""
        print(json.dumps(value, indent=2), flush=True)

    def progress(self, line: str) -> None:
        """Show how far something is: in place of what was shown before, or as a line of its own if it has changed."""
        if line == self._shown:
            return
        self._shown = line
        if self.is_terminal:
            print(f"\r\x1b[K{line[: self.width - 1]}", end="", flush=True)
        else:
            print(line, flush=True)

    def settle(self) -> None:
        """What was shown as progress stays."""
        if self.is_terminal and self._shown:
            print(flush=True)
        self._shown = ""

    def refresh(self, lines: Iterable[str]) -> None:
        """Show this in place of everything, or below what was there before if it has changed."""
        text = "\n".join(lines)
        if self.is_terminal:
            print(f"\x1b[H\x1b[J{text}", flush=True)
        elif text != self._shown:
            self._shown = text
            print(text, flush=True)

    def agreed(self, question: str) -> bool:
        """Whether whoever sits there says yes; true where nobody does."""
        if not (self.is_terminal and sys.stdin.isatty()):
            return True
        print(f"{question} [y/N] ", end="", flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
