"""A directory whose users and shards are written in our own schema, and orders to change where they lead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ldapmap import Attributes
from ldapmap.sections import ShardEntrySettings

from .slapd import BASE, PEOPLE, STANDARD_SCHEMAS, Slapd, ssha

SCHEMA = Path(__file__).parents[2] / "deploy" / "schema" / "vestibule.schema"
SHARDS = f"ou=shards,{BASE}"

ATTRIBUTES = Attributes(user="uid", aliases=("mail",), shard="vestibuleShard", preferred="vestibulePreferredReplica")
SHARD_ENTRIES = ShardEntrySettings(base=SHARDS, filter="(objectClass=vestibuleShardEntry)")


class RoutingDirectory:
    """Changes what `server` says; every change returns when the server had made it, by `time.monotonic`."""

    def __init__(self, server: Slapd) -> None:
        self.server = server

    def add_user(self, user: str, password: str, shard: str, **attributes: Any) -> float:
        classes = ["inetOrgPerson", "vestibuleMailRoute"]
        values = {"cn": user, "sn": user, "userPassword": ssha(password), "vestibuleShard": shard, **attributes}
        self.server.add(dn_of(user), classes, values)
        return time.monotonic()

    def move(self, user: str, *, shard: str | None = None, preferred: str | None = None) -> float:
        """Another shard, another preferred backend, or both in one write; empty: none any more."""
        given = {"vestibuleShard": shard, "vestibulePreferredReplica": preferred}
        changes = {name: [value] if value else [] for name, value in given.items() if value is not None}
        self.server.replace(dn_of(user), **changes)
        return time.monotonic()

    def delete_user(self, user: str) -> float:
        self.server.delete(dn_of(user))
        return time.monotonic()

    def add_shard(self, name: str, *backends: str) -> float:
        """`backends` as in the schema: "mb1a host=mb1a.example imap=143"."""
        self.server.add(shard_dn(name), ["vestibuleShardEntry"], {"vestibuleBackend": list(backends)})
        return time.monotonic()

    def change_shard(self, name: str, *backends: str) -> float:
        self.server.replace(shard_dn(name), vestibuleBackend=list(backends))
        return time.monotonic()

    def delete_shard(self, name: str) -> float:
        self.server.delete(shard_dn(name))
        return time.monotonic()


@contextlib.contextmanager
def routing_directory() -> Iterator[RoutingDirectory]:
    """A server that a mirror can follow, with nobody and no shard in it."""
    with Slapd(provider=True, schemas=(*STANDARD_SCHEMAS, SCHEMA)) as server:
        server.add(SHARDS, ["organizationalUnit"], {})
        yield RoutingDirectory(server)


def dn_of(user: str) -> str:
    return f"uid={user},{PEOPLE}"


def shard_dn(name: str) -> str:
    return f"cn={name},{SHARDS}"
