"""What must be in whose mailbox: mail that a server has acknowledged and that nobody has begun to delete."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import count

MOST = 200_000
"""Messages that are remembered; of what is written beyond, nothing is expected."""


class Ledger:
    """Of one client process; all sessions of a user belong to the same process, so what it says of a user is complete.

    Serials are unique over processes and runs: `base` is a time, `process` of `processes` takes every so-manieth.
    """

    def __init__(self, process: int = 0, processes: int = 1, base: float | None = None) -> None:
        began = int((time.time() if base is None else base) * 1000) << 20
        self._serials = count(began + process, processes)
        self._kept: dict[str, set[int]] = {}
        self._number = 0
        self._deleting: set[str] = set()
        self._doomed: set[int] = set()
        self._first = began

    def __len__(self) -> int:
        return self._number

    def serial(self) -> int:
        """For the next message."""
        return next(self._serials)

    def acknowledged(self, user: str, serial: int) -> None:
        """A server has said that it keeps this message."""
        if self._number < MOST and serial not in self._doomed:
            kept = self._kept.setdefault(user, set())
            self._number += serial not in kept
            kept.add(serial)

    def doomed(self, user: str, serial: int) -> None:
        """Somebody is about to delete this message: it may be there or not from now on."""
        self._deleting.add(user)
        if serial >= self._first and len(self._doomed) < MOST:
            self._doomed.add(serial)  # its writer may not have heard yet that it was stored
        kept = self._kept.get(user)
        if kept is not None and serial in kept:
            kept.discard(serial)
            self._number -= 1

    def deletes(self, user: str) -> bool:
        """Whether mail of this user has been deleted, so that a message may be missing or have another number."""
        return user in self._deleting

    def expected(self, user: str) -> frozenset[int]:
        """The serials of what must be there."""
        return frozenset(self._kept.get(user, ()))

    def missing(self, user: str, found: Iterable[int]) -> list[int]:
        """What must be there and was not found."""
        return sorted(self.expected(user).difference(found))

    def writers(self) -> list[str]:
        """Users of whom something is expected, in the order in which they first wrote."""
        return [user for user, kept in self._kept.items() if kept]
