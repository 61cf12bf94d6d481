"""What an operator types at a node, and gets to see."""

from __future__ import annotations

import json
import subprocess
from typing import Any, NamedTuple

from .vestibule import Vestibule, command


class Said(NamedTuple):
    """How a command has ended, and what it wrote."""

    code: int
    output: str
    complaint: str


def typed(daemon: Vestibule, *arguments: str) -> Said:
    """Run `vestibule ARGUMENTS` with the daemon's configuration."""
    done = subprocess.run(
        command(*arguments, "--config", str(daemon.config)), capture_output=True, text=True, timeout=60, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def told(daemon: Vestibule, *arguments: str, code: int = 0) -> Any:
    """What `vestibule ARGUMENTS --json` prints; AssertionError if it ends otherwise."""
    said = typed(daemon, *arguments, "--json")
    assert said.code == code, said
    return json.loads(said.output)
