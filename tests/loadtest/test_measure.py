"""The measurement runs from end to end and prints every figure; what they are is not asserted."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("peer", [[], ["--haproxy"]])
def test_every_figure_is_printed(peer: list[str]) -> None:
    if peer and shutil.which("haproxy") is None:
        pytest.skip("Debian package haproxy is needed")
    small = ["--logins", "20", "--sessions", "20", "--gibibytes", "0.01", "--rounds", "1"]
    command = [sys.executable, "-m", "loadtest.measure", *small, *peer]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[1:]
    assert len(lines) == 7
    for line in lines:
        assert len(re.findall(r"-?\d+\.\d+", line[46:])) == 1 + len(peer), line
