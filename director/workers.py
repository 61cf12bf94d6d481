"""The workers of a node as its director sees them: who is connected, and whether all have said what they have."""

from collections.abc import Iterable
from typing import Final

GATHERING: Final = 3.0
"""Seconds after the start for which logins wait until all workers have announced their sessions."""

PATIENCE: Final = 1.0
"""Seconds for which the sessions of a worker that has gone count: it may have lost only the connection."""


class Workers:
    """`expected` workers are to come; until they have, or `GATHERING` is over, logins wait. `now` is in seconds."""

    def __init__(self, expected: int, now: float) -> None:
        self.slots: Final[dict[str, int]] = {}
        """The number of each worker that is connected."""
        self._expected = expected
        self._opens_at: float | None = now + GATHERING
        self._leaving: dict[str, float] = {}
        self._unannounced: dict[str, set[int]] = {}

    @property
    def are_open(self) -> bool:
        """Whether logins need not wait any more."""
        return self._opens_at is None

    def joined(self, worker: str, slot: int, leases: Iterable[int]) -> None:
        """A worker has come, or has come again: then it had these leases."""
        self.slots[worker] = slot
        self._leaving.pop(worker, None)
        self._unannounced[worker] = set(leases)

    def announced(self, worker: str, lease: int) -> None:
        """A worker says that it has this lease."""
        self._unannounced.get(worker, set()).discard(lease)

    def complete(self, worker: str) -> frozenset[int]:
        """A worker has said all; return the leases that it had and has no more."""
        return frozenset(self._unannounced.pop(worker, ()))

    def left(self, worker: str, now: float) -> None:
        """The connection of a worker has ended; its sessions count until it has been gone for `PATIENCE`."""
        self.slots.pop(worker, None)
        self._unannounced.pop(worker, None)
        self._leaving[worker] = now + PATIENCE

    def gone(self, now: float) -> list[str]:
        """Return the workers whose sessions do not count any more, once."""
        gone = [worker for worker, until in self._leaving.items() if now >= until]
        for worker in gone:
            del self._leaving[worker]
        return gone

    def may_open(self, now: float) -> bool:
        """Whether it is time for `open`."""
        if self._opens_at is None:
            return False
        complete = sum(worker not in self._unannounced for worker in self.slots)
        return complete >= self._expected or now >= self._opens_at

    def open(self) -> None:
        """Logins need not wait any more."""
        self._opens_at = None
