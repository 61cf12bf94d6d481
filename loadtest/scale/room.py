"""Whether a machine has room for so many sessions, before anything is started on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest import descriptors
from loadtest.scale.plan import REPLICAS, USED, Plan, workers_for

DESCRIPTORS_PER_SESSION = 4
"""One of the client, two of Vestibule, one of the backend."""

CONNECTIONS_PER_SESSION = 2

MEMORY_PER_SESSION = 96 * 1024
"""Bytes of everything together: client, Vestibule, backend, and four sockets of the kernel."""

FOUNDATION = 1024**3
"""Bytes for what is there without sessions."""

_NET = Path("/proc/sys/net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a machine allows; `descriptors` of a process and `files` of all, `memory` that is available in bytes.

    `tracked` are the connections that a firewall can still remember; None where there is none that does.
    """

    descriptors: int
    files: int
    memory: int
    ports: int
    tracked: int | None
    processors: int


def this_room() -> Room:
    """This machine's, after our own limit of descriptors has been raised to what is allowed."""
    low, high = _numbers(_NET / "ipv4/ip_local_port_range") or (32_768, 60_999)
    return Room(
        descriptors=descriptors.allow(),
        files=_number(Path("/proc/sys/fs/file-max"), 2**31),
        memory=_available(),
        ports=high - low + 1,
        tracked=_tracked(),
        processors=len(os.sched_getaffinity(0)),
    )


def problems(plan: Plan, room: Room) -> Iterator[str]:
    """What stands against the plan, each with its remedy."""
    least = workers_for(plan.last, room.descriptors, 1)
    if plan.workers < least:
        yield (
            f"{plan.workers} workers with {room.descriptors:,} descriptors each have no room for {plan.last:,} "
            f"sessions, which need two each: use --workers {least}, or raise ulimit -n"
        )
    if plan.last > USED * room.descriptors * min(plan.processes, plan.shards):
        yield f"{room.descriptors:,} descriptors for a process are too few for {plan.last:,} sessions: raise ulimit -n"
    if plan.last * DESCRIPTORS_PER_SESSION > room.files:
        yield f"{plan.last * DESCRIPTORS_PER_SESSION:,} open files are needed: raise fs.file-max"
    memory = plan.last * MEMORY_PER_SESSION + FOUNDATION
    if memory > room.memory:
        yield f"{memory >> 20:,} MiB of free memory are needed: use smaller --steps"
    if plan.last > USED * room.ports * plan.shards * REPLICAS:
        yield "there are too few ports for outgoing connections: widen net.ipv4.ip_local_port_range"
    if room.tracked is not None and plan.last * CONNECTIONS_PER_SESSION > room.tracked:
        yield "the firewall remembers too few connections: raise net.netfilter.nf_conntrack_max"


def _available() -> int:
    """What the kernel can free without swapping (proc(5), MemAvailable), or what is free if it does not say."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _tracked() -> int | None:
    most, count = (_number(_NET / f"netfilter/nf_conntrack_{name}", 0) for name in ("max", "count"))
    return most - count if count else None


def _number(path: Path, default: int) -> int:
    found = _numbers(path)
    return found[0] if found else default


def _numbers(path: Path) -> list[int]:
    with suppress(OSError, ValueError):
        return [int(word) for word in path.read_text().split()]
    return []
