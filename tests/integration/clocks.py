"""Machines whose clocks are wrong: what a command line begins with that is to run at another time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .processes import program

_SITE = """\
import time

_time, _time_ns, _clock_gettime = time.time, time.time_ns, time.clock_gettime
time.time = lambda: _time() + {seconds}
time.time_ns = lambda: _time_ns() + {seconds} * 10**9
time.clock_gettime = lambda clock: _clock_gettime(clock) + ({seconds} if clock == time.CLOCK_REALTIME else 0)
"""


def wrong_wall_clock(folder: Path, seconds: int) -> list[str]:
    """Python programs believe that it is so many seconds later than it is (earlier, if negative): their `time` says so
    before anything else is imported. `folder` is an empty one that lives as long as they do.

    Linux has no namespace for the wall clock.
    """
    (folder / "sitecustomize.py").write_text(_SITE.format(seconds=seconds))
    return [program("env", "coreutils"), f"PYTHONPATH={os.pathsep.join([str(folder), *sys.path[1:]])}"]


def another_boot(seconds: int) -> list[str]:
    """As if the machine had started so many seconds earlier: a time namespace moves CLOCK_MONOTONIC and CLOCK_BOOTTIME.
    Needs root; without, the test is skipped."""
    if os.geteuid() != 0:
        pytest.skip("time namespaces need root")
    offset = str(seconds)
    return [program("unshare", "util-linux"), "--time", "--monotonic", offset, "--boottime", offset, "--"]
