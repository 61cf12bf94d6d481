"""The invariant's books: who was where when, and whether anybody was on two backends at the same time."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Protocol

MOST = 10_000
"""Overlaps that are remembered; the count goes on."""


class Presence(Protocol):
    """A session of a user began (`came`) or ended at a backend, at a monotonic time in seconds."""

    @property
    def at(self) -> float: ...
    @property
    def user(self) -> str: ...
    @property
    def backend(self) -> str: ...
    @property
    def came(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Overlap:
    """A user was at `first` and at `second` at the same time, from `began` (monotonic) for so many seconds."""

    user: str
    first: str
    second: str
    began: float
    seconds: float


class Books:
    """Keeps them for all users. Several sessions of a user at one backend are normal.

    What backends tell arrives out of order across backends: `settle` puts in order and counts what is older than a
    moment, so whoever notes has to say up to when everything has been noted. What begins on a new backend the moment
    it ends on the old one (within `tolerance` seconds) is an overlap that `failures` does not count.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.total = 0
        """Overlaps so far, however short."""
        self._unsettled: list[tuple[float, int, Presence]] = []
        self._order = count()
        self._places: dict[str, Counter[str]] = {}
        self._open: dict[tuple[str, str, str], float] = {}
        self._overlaps: list[Overlap] = []

    def note(self, presence: Presence) -> None:
        """A session began or ended."""
        heapq.heappush(self._unsettled, (presence.at, next(self._order), presence))

    def settle(self, until: float) -> None:
        """Count everything noted up to a moment (monotonic); nothing earlier may be noted afterwards."""
        while self._unsettled and self._unsettled[0][0] <= until:
            _, _, presence = heapq.heappop(self._unsettled)
            if presence.came:
                self._came(presence)
            else:
                self._went(presence)

    def overlaps(self) -> list[Overlap]:
        """Those that are over, in the order of their end, and at most `MOST`."""
        self.settle(float("inf"))
        return list(self._overlaps)

    def failures(self) -> list[Overlap]:
        """Those longer than the tolerance."""
        return [overlap for overlap in self.overlaps() if overlap.seconds > self.tolerance]

    def close(self, at: float) -> None:
        """The run is over at this moment: what overlaps still has done so until now."""
        self.settle(float("inf"))
        for user, first, second in list(self._open):
            self._end(user, first, second, at)
        self._places.clear()

    def sessions(self, user: str) -> dict[str, int]:
        """How many sessions a user has at each backend, by what was settled."""
        return dict(self._places.get(user, {}))

    def _came(self, presence: Presence) -> None:
        places = self._places.setdefault(presence.user, Counter())
        for other in places:
            if other != presence.backend and presence.backend not in places:
                self._open[presence.user, other, presence.backend] = presence.at
        places[presence.backend] += 1

    def _went(self, presence: Presence) -> None:
        places = self._places.get(presence.user)
        if places is None or presence.backend not in places:
            return
        places[presence.backend] -= 1
        if places[presence.backend]:
            return
        del places[presence.backend]
        for other in places:
            self._end(presence.user, presence.backend, other, presence.at)
            self._end(presence.user, other, presence.backend, presence.at)
        if not places:
            del self._places[presence.user]

    def _end(self, user: str, first: str, second: str, at: float) -> None:
        began = self._open.pop((user, first, second), None)
        if began is None:
            return
        self.total += 1
        if len(self._overlaps) < MOST:
            self._overlaps.append(Overlap(user, first, second, began, at - began))
