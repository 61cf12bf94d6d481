"""What is opened, held and closed, and on how many processes."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.descriptors import MOST as MOST_DESCRIPTORS
from loadtest.fleet.scenario import Mix, Scenario, SiteTable

STEPS = (1_000, 5_000, 10_000, 25_000, 50_000)
HOLD = 600.0
PUSH_EVERY = 600.0
"""Mean seconds between two messages for a session: 144 a day, a busy mailbox."""

REST = 5.0
"""Seconds at each step in which nobody comes: what is measured then is the cost of being there."""

USED = 0.75
"""Of the descriptors a process may have: connections are not spread over processes quite evenly."""

MOST = 200_000
"""Sessions of the last step."""

SHARDS = 4
"""Of two backends each, at least; a connection to a backend is one of some 28,000 that a port of it can have."""

MOST_SHARDS = 16
REPLICAS = 2
USERS = 500_000

COUNTED = """
[director.limits]
exempt = []
"""
"""Clients come from loopback addresses, which no limit counts unless it is asked to; real ones it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`steps` are numbers of sessions, each larger than the one before; `hold` and `push_every` are in seconds.

    `processes` is how many client processes there are, and at most how many of backends.
    """

    steps: tuple[int, ...] = STEPS
    hold: float = HOLD
    push_every: float = PUSH_EVERY
    workers: int = 1
    processes: int = 1
    rest: float = REST

    @property
    def last(self) -> int:
        """Sessions of the last step."""
        return self.steps[-1]

    @property
    def shards(self) -> int:
        """As many as are needed to have backends in all processes, for those of a shard are in one."""
        return min(MOST_SHARDS, max(SHARDS, self.processes))

    @property
    def scenario(self) -> Scenario:
        """The same for the site and the clients; how clients come and go is ours to say."""
        return Scenario(
            title="Scale",
            users=USERS,
            sessions=self.last,
            mix=Mix(idle=1.0),
            site=SiteTable(
                shards=self.shards,
                replicas=REPLICAS,
                processes=min(self.processes, self.shards),
                workers=self.workers,
                pushes=1.0 / self.push_every,
                extra=COUNTED,
            ),
        )


def workers_for(sessions: int, descriptors: int, processors: int) -> int:
    """As many as there are processors, or more where so many descriptors for each do not suffice: a session has two."""
    return max(processors, -(-2 * sessions // int(USED * descriptors)))


def processes_for(sessions: int, descriptors: int) -> int:
    """Client or backend processes for so many sessions, each of which has one descriptor there."""
    return max(1, -(-sessions // int(USED * min(descriptors, MOST_DESCRIPTORS))))
