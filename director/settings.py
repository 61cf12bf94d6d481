"""`[director]`, as the operator writes it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from director.failback import FailbackSettings
from director.gate import GateSettings
from director.limits import LimitSettings
from director.moves import MoveSettings
from director.sections import HealthSettings
from director.stores.settings import RedisSettings, address_faults
from director.votes import VoteSettings

MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorSettings:
    """`[director]`: how long users stay where they are, and how it is found out where they may be."""

    store: str = field(
        default=MEMORY,
        metadata={
            "doc": 'Where the assignments of users are kept: "memory" for a node that is alone, else the Redis or '
            "Valkey that all nodes share: redis://host:port/0, redis+sentinel://host,host/service or "
            "redis+cluster://host,host; with rediss for TLS."
        },
    )
    redis: RedisSettings = field(
        default_factory=RedisSettings, metadata={"doc": "How the shared store is reached, if store names one."}
    )
    stay: float = field(
        default=900.0,
        metadata={
            "doc": "How long a user stays assigned after the last session, so that replication can catch up.",
            "unit": "s",
            "min": 0,
            "max": 86400,
        },
    )
    max_assignments: int = field(
        default=1_000_000,
        metadata={
            "doc": "Most users that are assigned or wait for it in this node's memory, about 250 bytes each, and as "
            "much again while they have sessions; more are refused.",
            "min": 1,
            "max": 100_000_000,
        },
    )
    assign_wait: float = field(
        default=20.0,
        metadata={
            "doc": "Longest wait of a login while its user is being moved.",
            "unit": "s",
            "min": 0.1,
            "max": 300,
        },
    )
    heartbeat: float = field(
        default=1.0,
        metadata={
            "doc": "How often a node says in the store that it lives, and looks at what others say.",
            "unit": "s",
            "min": 0.05,
            "max": 60,
        },
    )
    node_timeout: float = field(
        default=6.0,
        metadata={
            "doc": "A node that has been silent for so long counts as dead: its sessions hold nobody any more.",
            "unit": "s",
            "min": 0.2,
            "max": 3600,
        },
    )
    kick_spread: float = field(
        default=10.0,
        metadata={
            "doc": "When a backend is down, its sessions are closed within this time, not all at once; a user who "
            "comes back earlier loses the old ones then.",
            "unit": "s",
            "min": 0,
            "max": 3600,
        },
    )
    site_failover_after: float = field(
        default=300.0,
        metadata={
            "doc": "Backends at another site take over when those of the first have been down for so long.",
            "unit": "s",
            "min": 0,
            "max": 86400,
        },
    )
    state_file: Path | None = field(
        default=None,
        metadata={
            "doc": "Where a node that is alone keeps which backends are on standby or offline; default: backends.json "
            "in node.run_dir, which a reboot may empty.",
            "exists": False,
        },
    )
    health: HealthSettings = field(default_factory=HealthSettings, metadata={"doc": "How backends are watched."})
    votes: VoteSettings = field(
        default_factory=VoteSettings, metadata={"doc": "How nodes agree that a backend is down."}
    )
    failback: FailbackSettings = field(
        default_factory=FailbackSettings, metadata={"doc": "How users return to the backend they prefer."}
    )
    gate: GateSettings = field(
        default_factory=GateSettings, metadata={"doc": "Who knows whether a backend has caught up."}
    )
    moves: MoveSettings = field(default_factory=MoveSettings, metadata={"doc": "How users are moved."})
    limits: LimitSettings = field(
        default_factory=LimitSettings, metadata={"doc": "What one user and one address may have."}
    )

    @property
    def shared_store(self) -> RedisSettings | None:
        """The store that nodes share, if there is one."""
        return None if self.store == MEMORY else replace(self.redis, url=self.store)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if self.store != MEMORY:
            yield from (("store", message) for message in address_faults(self.store))
        if self.gate.asks_synced and self.failback.word_lasts <= self.gate.deadline:
            yield "failback.word_lasts", f"is not longer than gate.deadline, {self.gate.deadline:g} s; give more"
        if self.node_timeout <= 2 * self.heartbeat:
            yield "node_timeout", f"is not more than two heartbeats of {self.heartbeat:g} s; give at least three"
