"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.005
DEADLINE_SECONDS = 60.0
"""Generous: it only bounds how long a broken test takes to say so."""


def wait_until(condition: Callable[[], T | None], what: str = "", deadline: float = DEADLINE_SECONDS) -> T:
    """Ask `condition` until it returns something true, and return that. AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s in vain for {what or condition}")
        time.sleep(POLL_SECONDS)
    return value
