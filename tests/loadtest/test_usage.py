"""What a tree of processes has used."""

from __future__ import annotations

import os
import subprocess
import sys

from loadtest.usage import cpu_seconds, pss_kib, tree

CHILD = "import os, sys; os.fork(); os.write(1, b'%d\\n' % os.getpid()); sys.stdin.read()"


def test_a_tree_is_a_process_and_its_descendants() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = {int(child.stdout.readline()) for _ in range(2)}
    try:
        assert set(tree(child.pid)) == pids
        assert pids < set(tree(os.getpid()))
        assert pss_kib(child.pid) > 1000
    finally:
        child.communicate("")
    assert cpu_seconds(child.pid) == 0.0


def test_cpu_time_grows_by_what_is_spent() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) - before < 0.02:
        sum(range(10000))
