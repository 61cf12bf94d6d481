"""Shards, their backends, and how backends are watched, as the operator writes it."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
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
    site: str = field(
        default="",
        metadata={
            "doc": "Where the backend is; one at another site than those that go first takes over only after "
            "director.site_failover_after."
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
class HealthSettings:
    """`[director.health]`: how backends are watched."""

    probe: Literal["connect", "greeting", "tls", "login"] = field(
        default="greeting",
        metadata={
            "doc": "How far a probe goes: to the connection, the greeting, through TLS as in backend_login, or to the "
            "login of probe_user; only the last one sees a mail server whose authentication hangs."
        },
    )
    protocol: Literal["imap", "pop3", "managesieve", ""] = field(
        default="", metadata={"doc": "What probes speak; empty: the first of imap, pop3, managesieve with a listener."}
    )
    probe_user: str = field(default="", metadata={"doc": 'The user of the probe "login", who has no mail.'})
    probe_password_file: Path | None = field(
        default=None,
        metadata={
            "doc": "File with the password of probe_user, read at each probe, so node.user has to be able to; not "
            "needed where a master user logs in."
        },
    )
    every: float = field(
        default=1.5,
        metadata={
            "doc": "Time between two probes of a backend by one node, give or take a tenth.",
            "unit": "s",
            "min": 0.1,
            "max": 3600,
        },
    )
    timeout: float = field(
        default=1.5,
        metadata={
            "doc": "A probe that takes longer has failed; a backend that hangs is found in about every + 2 x this.",
            "unit": "s",
            "min": 0.05,
            "max": 60,
        },
    )
    failures_to_down: int = field(
        default=2,
        metadata={
            "doc": "So many failures in a row, of probes or of the logins of different users, make a backend down.",
            "min": 1,
            "max": 100,
        },
    )
    successes_to_up: int = field(
        default=2,
        metadata={"doc": "So many good probes in a row make it up again.", "min": 1, "max": 1000},
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if self.probe == "login" and not self.probe_user:
            yield "probe_user", 'is missing; the probe "login" needs somebody who may log in'


def _is_host(value: str) -> bool:
    """True for an IP address or what can be a host name (RFC 1123 section 2.1, underscores allowed)."""
    if _HOST_NAME.fullmatch(value):
        return True
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
