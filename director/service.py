"""The director as a worker knows it: leases for sessions, reports about backends, explanations for operators."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from director.assignments import Assignments, Lease
from director.choice import Why, rank
from director.errors import NoShard
from director.health import State
from director.settings import DirectorSettings
from director.shards import Backend, Shard, Shards

ROUTE_CHANGED: Final = "route changed"
"""Reason to revoke: the user's entry names another shard, and a newer session has gone there."""

BACKEND_DOWN: Final = "backend down"
"""Reason to revoke: others could not connect to the backend."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that could serve a user; `retry_in` is how many seconds one that is down is still left alone."""

    backend: Backend
    state: State
    retry_in: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What a login of the user would get now: `candidates` in the order of `rank`, `chosen` or None, and why."""

    shard: str
    candidates: tuple[Candidate, ...]
    chosen: Backend | None
    why: Why | None


class Director:
    """Assigns users to backends for the sessions of one process, in memory.

    `clock` gives seconds and never goes backwards, as time.monotonic does. Every on_revoke is called at once, from
    within the call that revokes, when the books are in order again: it may call the director, and must not raise. A
    session still connecting when it is revoked should take it as a failed attempt, and ask for another lease.
    """

    def __init__(self, settings: DirectorSettings, shards: Shards, clock: Callable[[], float]) -> None:
        self._shards = shards
        self._clock = clock
        self._assignments = Assignments(settings)

    async def assign(self, user: str, shard_value: str, preferred: str, on_revoke: Callable[[str], None]) -> Lease:
        """Return a lease on the backend that should serve this session of the user; release it when the session ends.

        `user` is the canonical name. `shard_value` is what the user's entry says: the name of a shard, or the name or
        host of one of its backends. `preferred` is the name or host of a backend that goes first for a user who is
        not assigned already; "" for none. Raises NoShard, NoBackend or NoRoom; nothing has changed then.
        """
        shard = self._find(shard_value)
        lease, revoked = self._assignments.assign(user, shard, preferred, self._clock(), on_revoke)
        for older in revoked:
            older.on_revoke(ROUTE_CHANGED)
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease back; a second time, or after it was revoked, this does nothing."""
        self._assignments.release(lease, self._clock())

    def report_success(self, lease: Lease) -> None:
        """The backend answered this session: failures are counted from zero again, and a trial is passed.

        A revoked lease is out of date and reports nothing.
        """
        if not lease.revoked:
            self._assignments.report(lease.backend.name, True, self._clock())

    def report_failure(self, lease: Lease) -> None:
        """The backend did not accept this session's connection, or not in time.

        `failures_to_down` of these in a row, or one in a trial, and the backend is down: its leases are revoked, and
        every session but the reporting one, which knows, is told. A revoked lease is out of date and reports nothing.
        """
        if lease.revoked:
            return
        for other in self._assignments.report(lease.backend.name, False, self._clock()):
            if other is not lease:
                other.on_revoke(BACKEND_DOWN)

    def explain(self, user: str, shard_value: str, preferred: str) -> Decision:
        """Return what `assign` would do and why, without doing it; `chosen` and `why` are None where it raises
        NoBackend.

        Raises NoShard.
        """
        shard, now = self._find(shard_value), self._clock()
        ranked = rank(user, shard, preferred, shard.names)
        chosen, why = self._assignments.choice(user, shard, preferred, now) or (None, None)
        return Decision(shard.name, tuple(self._candidate(backend, now) for backend in ranked), chosen, why)

    def _find(self, value: str) -> Shard:
        shard = self._shards.find(value)
        if shard is None:
            raise NoShard(value)
        return shard

    def _candidate(self, backend: Backend, now: float) -> Candidate:
        health = self._assignments.health
        return Candidate(backend, health.state(backend.name, now), health.retry_in(backend.name, now))
