"""What a tree of processes has used, by the kernel's own account."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment; `began` (clock ticks since boot) tells it from a later one of the same number."""

    pid: int
    began: int
    name: str
    cpu_seconds: float
    """To the clock tick (10 ms), threads that have ended included."""
    rss_kib: int


def tree(pid: int, without: Collection[int] = ()) -> list[int]:
    """A process and all its descendants, but neither those in `without` nor what only they lead to."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in (_PROC / str(parent) / "task").iterdir():
                children = (int(child) for child in (task / "children").read_text().split())
                found += [child for child in children if child not in without]
    return found


def process(pid: int) -> Process | None:
    """What proc(5) tells of a process in one cheap read; None when it is gone or has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(") ")
    fields = rest.split()
    if fields[0] in "ZX":
        return None
    spent = (int(fields[11]) + int(fields[12])) / _TICKS
    return Process(pid, int(fields[19]), name, spent, int(fields[21]) * _PAGE_KIB)


def cpu_seconds(pid: int) -> float:
    """CPU time of a tree in seconds, with what its ended children have used.

    What lives is counted as the scheduler does (nanoseconds; finer than clock ticks), what has ended and was waited for
    to the clock tick (10 ms).
    """
    return sum(_living_seconds(member) + _ended_seconds(member) for member in tree(pid))


def _living_seconds(pid: int) -> float:
    total = 0
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _ended_seconds(pid: int) -> float:
    """Of the children that the process has waited for, and theirs (proc(5), cutime and cstime)."""
    with suppress(OSError):
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(") ")[2].split()
        return (int(fields[13]) + int(fields[14])) / _TICKS
    return 0.0


def pss_kib(pid: int) -> int:
    """Memory of a tree in KiB, shared pages divided among those who share them."""
    return sum(process_pss_kib(member) or 0 for member in tree(pid))


def process_pss_kib(pid: int) -> int | None:
    """The same of one process; None when it is gone or not ours to see. The kernel walks all its pages for it."""
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return None
