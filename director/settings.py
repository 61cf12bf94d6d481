"""Shards, their backends and how the director treats them, as the operator writes it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal

PROTOCOLS: Final = ("imap", "pop3", "managesieve")

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSettings:
    """One `[[shard.backend]]`: a server that holds the shard's mail."""

    name: str = field(
        metadata={
            "doc": "Name of this backend, unique among all shards; users are spread by it, so a new name moves users."
        }
    )
    host: str = field(
        metadata={"doc": "Host name or address to connect to, without port; certificates are checked for it."}
    )
    ports: dict[str, int] = field(
        default_factory=dict,
        metadata={
            "doc": "Port for each of imap, pop3 and managesieve, where it is not the usual one.",
            "min": 1,
            "max": 65535,
        },
    )
    priority: int = field(
        default=1,
        metadata={
            "doc": "Backends with the lowest number serve, those with higher ones wait until these are down.",
            "min": 0,
            "max": 1000,
        },
    )
    weight: int = field(
        default=1,
        metadata={
            "doc": "Share of the users among backends of the same priority: 2 gets twice as many as 1.",
            "min": 1,
            "max": 1000,
        },
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if not self.name.strip():
            yield "name", "is empty; give every backend a name of its own"
        if not _is_host(self.host):
            yield "host", f"{self.host!r} is neither a host name nor an address; give it without port and brackets"
        for protocol, port in self.ports.items():
            if protocol not in PROTOCOLS:
                yield f"ports.{protocol}", f"is no protocol; use {', '.join(PROTOCOLS)}"
            elif not 1 <= port <= 65535:
                yield f"ports.{protocol}", f"{port} is no port; use 1 to 65535"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """One `[[shard]]`: the mail of a set of users, on one backend or on several that can stand in for each other."""

    name: str = field(metadata={"doc": "Name of the shard, as users' directory entries may give it."})
    backend: tuple[BackendSettings, ...] = field(metadata={"doc": "The servers that hold this shard, at least one."})

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if not self.name.strip():
            yield "name", "is empty; give every shard a name of its own"
        if not self.backend:
            yield "backend", "is missing; a shard needs at least one backend"
        for name, count in Counter(backend.name.casefold() for backend in self.backend).items():
            if count > 1:
                yield "backend", f"{count} backends are called {name!r}; give each a name of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorSettings:
    """`[director]`: how long users stay where they are, and when a backend counts as down."""

    store: Literal["memory"] = field(
        default="memory", metadata={"doc": "Where assignments are kept: in the memory of this process."}
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
    failures_to_down: int = field(
        default=2,
        metadata={"doc": "So many failed connections in a row make a backend count as down.", "min": 1, "max": 100},
    )
    retry_down_after: float = field(
        default=15.0,
        metadata={
            "doc": "How long a backend that is down is left alone before one login may try it again.",
            "unit": "s",
            "min": 0.1,
            "max": 3600,
        },
    )
    max_assignments: int = field(
        default=1_000_000,
        metadata={
            "doc": "Most users remembered at once, about 600 bytes each; then who has been idle longest is forgotten.",
            "min": 1,
            "max": 100_000_000,
        },
    )


def _is_host(value: str) -> bool:
    """True for an IP address or what can be a host name (RFC 1123 section 2.1, underscores allowed)."""
    if _HOST_NAME.fullmatch(value):
        return True
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
