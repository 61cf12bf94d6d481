"""What a tree of processes has used."""

from __future__ import annotations

import os
import subprocess
import sys

from loadtest.usage import cpu_seconds, process, process_pss_kib, pss_kib, tree

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


def test_what_ended_children_have_used_still_counts() -> None:
    """To the clock tick, so they have to use some of them."""
    work = "import time\nwhile time.process_time() < 0.05: pass"
    waits = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); print(); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    parent.stdout.readline()
    try:
        assert len(tree(parent.pid)) == 1
        assert cpu_seconds(parent.pid) > 0.05
    finally:
        parent.communicate("")


def test_cpu_time_grows_by_what_is_spent() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) - before < 0.02:
        sum(range(10000))


def test_a_tree_can_leave_out_what_is_accounted_for_elsewhere() -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = {int(child.stdout.readline()) for _ in range(2)}
    try:
        assert not pids & set(tree(os.getpid(), without=[child.pid]))
        assert tree(child.pid, without=pids) == [child.pid]
    finally:
        child.communicate("")


def test_one_process_is_told_from_another_of_the_same_number() -> None:
    mine = process(os.getpid())
    assert mine is not None
    assert mine.began > 0
    assert mine.cpu_seconds > 0.0
    assert mine.rss_kib > (process_pss_kib(os.getpid()) or 0) > 1000


def test_a_process_that_has_ended_tells_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process(child.pid) is None  # it has ended, though nobody has waited for it
    child.communicate()
    assert process(child.pid) is None
    assert process_pss_kib(child.pid) is None
