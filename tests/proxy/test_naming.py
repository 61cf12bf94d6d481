"""Processes can be told apart."""

from __future__ import annotations

import os
from pathlib import Path

from proxy.naming import name_process


def test_a_process_has_the_name_it_was_given_cut_to_what_the_system_keeps() -> None:
    pid = os.fork()
    if not pid:
        try:
            name_process("vestibule-worker-17")
            os._exit(0 if Path("/proc/self/comm").read_text() == "vestibule-worke\n" else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
