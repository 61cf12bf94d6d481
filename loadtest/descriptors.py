"""The limit of a process's open files (RLIMIT_NOFILE): the soft one is often 1,024, the hard one what is meant."""

from __future__ import annotations

import resource

MOST = 20_000
"""No more sessions than fit into so many are given to one process, even where it may have more."""


def allowed() -> int:
    """How many this process may have at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def allow(most: int | None = None) -> int:
    """Let this process, and those that it starts, have so many, or all that are allowed; never fewer than it may have
    already. Return how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, hard if most is None else min(most, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
