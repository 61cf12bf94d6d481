"""Who is at which backend, by what backends tell: their sessions now and at most, and the invariant's books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from loadtest.fleet.books import Books, Overlap, Presence


class Attendance:
    """Of one run; `tolerance` is how many seconds a user may be at two backends."""

    def __init__(self, tolerance: float) -> None:
        self.books = Books(tolerance)
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.logins: Counter[str] = Counter()

    def note(self, presences: Iterable[Presence], until: float) -> None:
        """What has been told since the last time, which is all that happened up to this (monotonic) moment."""
        for presence in presences:
            self.books.note(presence)
            self.now[presence.backend] += 1 if presence.came else -1
            if presence.came:
                self.logins[presence.backend] += 1
                self.most[presence.backend] = max(self.most[presence.backend], self.now[presence.backend])
        self.books.settle(until)

    def failures(self, now: float) -> list[Overlap]:
        """Overlaps longer than the tolerance, when everything has been told."""
        self.books.close(now)
        return self.books.failures()
