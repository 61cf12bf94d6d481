"""What a tree of processes has used, by the kernel's own account."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in (_PROC / str(parent) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a tree in seconds, as the scheduler has counted it (nanoseconds; finer than clock ticks)."""
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            for task in (_PROC / str(process) / "task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def pss_kib(pid: int) -> int:
    """Memory of a tree in KiB, shared pages divided among those who share them."""
    total = 0
    for process in tree(pid):
        with suppress(OSError):
            for line in (_PROC / str(process) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total
