"""What a site and its processes say to each other: JSON lines, orders one way and news the other."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Presence(msgspec.Struct, frozen=True, array_like=True):
    """A session of a user began (`came`) or ended at a backend, at a monotonic time of this machine in seconds."""

    at: float
    user: str
    backend: str
    protocol: str
    came: bool


class Wanted(msgspec.Struct, frozen=True):
    """A backend that a process is to be; backends with the same `mail` share their users' mailboxes."""

    name: str
    address: str
    mail: str


class Work(msgspec.Struct, frozen=True, tag=True):
    """The first order: what a process is to be. `pushes` is in messages per second and idling session.

    `shards` and `users` are for a directory, which a process is that has no `backends`.
    """

    backends: list[Wanted] = []
    pushes: float = 0.0
    shards: list[str] = []
    users: int = 0
    address: str = ""


class Kill(msgspec.Struct, frozen=True, tag=True):
    """Refuse connections at a backend and reset those it has."""

    number: int
    backend: str


class Revive(msgspec.Struct, frozen=True, tag=True):
    """Listen again."""

    number: int
    backend: str


class Tell(msgspec.Struct, frozen=True, tag=True):
    """Send the news that have not been sent."""

    number: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Every backend listens: its ports by protocol; the one port of a directory is `ldap`."""

    ports: dict[str, dict[str, int]]


class News(msgspec.Struct, frozen=True, tag=True):
    """Who came and who left since the last news, in order."""

    presences: list[Presence]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The order of this number has been followed, and everything that happened before it has been told."""

    number: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The process cannot be what it should, or an order (`number`, 0 for the first) could not be followed."""

    number: int
    reason: str


Order: TypeAlias = Work | Kill | Revive | Tell
Answer: TypeAlias = Ready | News | Done | Failed

encode = msgspec.json.encode
"""One order or answer as a line without its end."""

read_order = msgspec.json.Decoder(Order).decode
"""Raises msgspec.DecodeError."""

read_answer = msgspec.json.Decoder(Answer).decode
"""Raises msgspec.DecodeError."""
