"""Values of command-line options, checked."""

from __future__ import annotations

from argparse import ArgumentTypeError

DAY = 86_400


def positive(text: str) -> int:
    """A whole number from 1. Raises ArgumentTypeError."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not number:
        raise ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return number


def seconds(text: str, least: float = 0.0) -> float:
    """From `least` to a day. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= DAY:
        raise ArgumentTypeError(f"found {text!r}, expected seconds from {least:g} to {DAY:,}")
    return value
