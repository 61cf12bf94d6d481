"""Clocks that are wrong for one command only."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from .clocks import another_boot, wrong_wall_clock

ASKING = "import datetime, time; print(time.time(), time.monotonic())"


def told(*prefix: str) -> tuple[float, float]:
    """How far the command's wall clock and its monotonic one are ahead of ours."""
    printed = subprocess.run([*prefix, sys.executable, "-c", ASKING], check=True, capture_output=True).stdout
    wall, monotonic = map(float, printed.split())
    return round((wall - time.time()) / 60), round((monotonic - time.monotonic()) / 60)


def test_the_wall_clock_is_wrong_and_nothing_else_is(tmp_path: Path) -> None:
    assert told(*wrong_wall_clock(tmp_path, -420)) == (-7, 0)


def test_the_machine_has_started_at_another_time() -> None:
    assert told(*another_boot(600)) == (0, 10)


def test_both_together(tmp_path: Path) -> None:
    assert told(*another_boot(600), *wrong_wall_clock(tmp_path, 300)) == (5, 10)
