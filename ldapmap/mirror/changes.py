"""The log of changes: what those who act on changes (sessions to move, backends to know) have to be told."""

from __future__ import annotations

from typing import NamedTuple

LIMIT = 100_000
"""Changes kept. Who is further behind than that has to look at everything again."""


class Change(NamedTuple):
    """Empty `shard`: the user is gone; empty `was_shard`: new. Or, with `shard_entry`, only that shard has changed."""

    sequence: int
    user: str
    shard: str
    preferred: str
    was_shard: str
    was_preferred: str
    shard_entry: str = ""

    def value(self) -> bytes:
        """All but the sequence, which is the key."""
        return "\0".join(self[1:]).encode()


def change_of(key: bytes, value: bytes) -> Change:
    return Change(number_of(key), *value.decode().split("\0"))


def key_of(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")


def number_of(key: bytes) -> int:
    return int.from_bytes(key, "big")
