"""A session's hold on its user's assignment, as its worker knows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from director.choice import Why
from director.shards import Backend
from director.wire import Announce

OnKick: TypeAlias = Callable[[str, bool], None]
"""Told the reason and whether the session must end at once, rather than between two responses."""


@dataclass(slots=True, eq=False)
class Lease:
    """There is one for each session, for as long as it lives: its texts are shared with others wherever they can be.

    `began` is in seconds since 1970. `kicked` is why the session has to end, "" while it may go on; `on_kick` is told
    when that changes, until the lease is released. Leases are compared by identity.
    """

    number: int
    user: str
    backend: Backend
    shard: str
    why: Why
    epoch: int
    address: str
    protocol: str
    session: str
    began: float
    on_kick: OnKick | None
    kicked: str = ""

    def announcement(self) -> Announce:
        """What a director that has not granted the lease, or has forgotten it, is told."""
        return Announce(
            self.number,
            self.user,
            self.backend.name,
            self.shard,
            self.epoch,
            self.address,
            self.protocol,
            self.session,
            self.began,
        )
