"""How the mirror is doing, for people and metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

State = Literal["loading", "following", "disconnected", "refused"]
"""`loading`: everything is fetched, the file before it stays in use. `following`: in step with a server.
`disconnected`: looking for a server, or comparing with one. `refused`: what a server says would remove too many users,
and an operator has to say that it is meant.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorStatus:
    """What is known at one moment. Counters begin at 0 with the process; `generation` 0 is no file at all.

    `last_contact` is when a server was last heard while in step with it (unix time, 0.0 never), `lag_seconds` for how
    long the copy has not been known to be what a server has. `received` counts the entries that servers have sent,
    `unusable` those there without a route; `message` says what is or went wrong.
    """

    state: State
    server: str
    users: int
    entries: int
    file_bytes: int
    generation: int
    last_contact: float
    lag_seconds: float
    changes: int
    received: int
    reloads: int
    reconnects: int
    purges_refused: int
    unusable: int
    message: str

    def as_json(self) -> dict[str, Any]:
        """For the control socket."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MirrorStatus:
        """What `as_json` made; what a newer process says beyond it is left out. Raises KeyError for what is missing."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a follower notes while it works: the part of the status that no file knows."""

    state: State = "disconnected"
    server: str = ""
    last_contact: float = 0.0
    changes: int = 0
    received: int = 0
    reloads: int = 0
    reconnects: int = 0
    purges_refused: int = 0
    message: str = ""
    followed: bool = False
    """A server has been followed before."""

    def failed(self, server: str, reason: str) -> None:
        """Not in step any more. A refusal is not hidden by it: it is told until a server is followed again."""
        self.server = ""
        if self.state != "refused":
            self.state = "disconnected"
            self.message = told(server, reason)

    def refused(self, server: str, reason: str) -> None:
        """Too many users would vanish."""
        self.state, self.server = "refused", ""
        self.purges_refused += 1
        self.message = told(server, reason)

    def loading(self, server: str) -> None:
        """Everything is fetched from this server."""
        self.state, self.server = "loading", server

    def following(self, server: str) -> None:
        """In step with this server."""
        self.reconnects += self.followed and self.state != "following"
        self.followed = True
        self.state, self.server, self.message = "following", server, ""


def told(server: str, reason: str) -> str:
    """What is said about a server, which is named once."""
    message = reason if reason.startswith(server) else f"{server}: {reason}"
    return message[:_LONGEST_MESSAGE]


_LONGEST_MESSAGE = 1000
"""Characters; servers word part of it."""
