"""What Vestibule has at one moment: memory, descriptors, kernel memory, and its own counters."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest.usage import pss_kib, tree
from loadtest.vestibule import Daemon, counters

SLABINFO = Path("/proc/slabinfo")

SLABS = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi", "tcp_bind_bucket", "tcp_bind2_bucket")
"""What the kernel keeps for a connected socket that is watched."""

NAMES = 192
"""Bytes of a socket's name in the kernel (a dentry); they cannot be told from those of files in its accounts."""

SOCKETS = 2
"""Of Vestibule's own, for a session. As many belong to the client and to the backend, on the same machine."""

GAUGES = ("vestibule_sessions", "vestibule_director_sessions", "vestibule_director_users")
"""What has to be 0 when nobody is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """`pss` in KiB of the whole tree; `most` descriptors of one process, and of `all_together`.

    `kernel` is the memory of all sockets of the machine in bytes, None where the kernel does not tell (only root is
    told).
    """

    pss: int
    most: int
    all_together: int
    kernel: int | None


def census(daemon: Daemon) -> Census:
    """Taken now."""
    used = [descriptors(pid) for pid in tree(daemon.pid)]
    return Census(
        pss=pss_kib(daemon.pid),
        most=max(used, default=0),
        all_together=sum(used),
        kernel=kernel_memory(),
    )


def descriptors(pid: int) -> int:
    """Open files of a process; 0 when it is gone or not ours to see."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def kernel_memory(slabinfo: Path = SLABINFO) -> int | None:
    """Bytes in slabs that sockets need, on the whole machine; None when that may not be read."""
    try:
        lines = slabinfo.read_text().splitlines()
    except OSError:
        return None
    return sum(_slab(line.split()) for line in lines if line.partition(" ")[0] in SLABS)


def _slab(fields: list[str]) -> int:
    """Objects in use, each with its part of what its slab wastes (slabinfo(5))."""
    active, per_slab, pages = int(fields[1]), int(fields[4]), int(fields[5])
    size = pages * os.sysconf("SC_PAGE_SIZE") // per_slab
    return active * (size + NAMES if fields[0] == "sock_inode_cache" else size)


def gauges(daemon: Daemon) -> dict[str, float]:
    """The metrics that count who is there now, over all their labels. Raises OSError."""
    found = dict.fromkeys(GAUGES, 0.0)
    for name, value in counters(daemon).items():
        family = name.partition("{")[0]
        if family in found:
            found[family] += value
    return found
