"""How long who failed to log in has to wait.

Failures are counted for the pair of user and address. What fails for the first time from there also counts for the
user and for the address. Who has logged in from an address before waits there for their own failures only.
"""

from collections.abc import Callable, Iterator
from math import log2
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from director.recent import Recent

Subject: TypeAlias = tuple[str, str]
"""Whom something is about: a user and an address as limits count it; one of them is "" where it is about all."""

_K = TypeVar("_K")


class Penalties:
    """Failures of pairs, users and addresses, and which pairs have logged in before: `most` of each, the latest.

    Up to `free` failures have no consequences. The wait after the next one is `first` seconds (0: no waits at all), it
    doubles with each further one up to `longest`, and each `decay` seconds a failure is forgotten.
    """

    def __init__(self, *, free: int, first: float, longest: float, decay: float, most: int) -> None:
        self._pairs: _Failures[Subject] = _Failures(free, first, longest, decay, most)
        self._users: _Failures[str] = _Failures(free, first, longest, decay, most)
        self._places: _Failures[str] = _Failures(free, first, longest, decay, most)
        self._known: Recent[Subject, None] = Recent(most)

    def wait(self, user: str, place: str, now: float) -> float:
        """Return the seconds until this user may be tried again from there; nothing changes."""
        own = self._pairs.wait((user, place), now)
        if (user, place) in self._known:
            return own
        return max(own, self._users.wait(user, now), self._places.wait(place, now))

    def attempt(self, user: str, place: str, now: float) -> None:
        """Let nobody else try at the same time. Not for the user: strangers would win that race against the owner."""
        self._pairs.attempt((user, place), now)
        if (user, place) not in self._known:
            self._places.attempt(place, now)

    def failed(self, user: str, place: str, now: float) -> float:
        """Count a failure; return the seconds until this user may be tried again from there."""
        if not self._pairs.level((user, place), now) and (user, place) not in self._known:
            self._users.add(user, now)
            self._places.add(place, now)
        self._pairs.add((user, place), now)
        return self.wait(user, place, now)

    def succeeded(self, user: str, place: str) -> bool:
        """Forget the pair's failures, and know it from now on. Return whether that was news."""
        news = (user, place) not in self._known or (user, place) in self._pairs
        self._pairs.forget((user, place))
        self._known.keep((user, place), None)
        return news

    def unrest(self, user: str, place: str, now: float) -> list[tuple[Subject, float]]:
        """Return for whom each attempt matters, of the pair, the user and the address, and for how many seconds."""
        times = (
            ((user, place), self._pairs.unrest((user, place), now)),
            ((user, ""), self._users.unrest(user, now)),
            (("", place), self._places.unrest(place, now)),
        )
        return [(subject, seconds) for subject, seconds in times if seconds]

    def failures(self, subject: Subject, now: float) -> tuple[float, float]:
        """Return the failures that are not forgotten, and the seconds to wait for this subject's own."""
        user, place = subject
        if user and place:
            return self._pairs.level(subject, now), self._pairs.wait(subject, now)
        table, key = (self._users, user) if user else (self._places, place)
        return table.level(key, now), table.wait(key, now)

    def subjects(self) -> list[Subject]:
        """Return whose failures are remembered."""
        return [*self._pairs, *((user, "") for user in self._users), *(("", place) for place in self._places)]

    def forgive(self, concerned: Callable[[Subject], bool]) -> None:
        """Forget the failures of some. Pairs that are known stay so."""
        for subject in filter(concerned, self.subjects()):
            user, place = subject
            if user and place:
                self._pairs.forget(subject)
            elif user:
                self._users.forget(user)
            else:
                self._places.forget(place)

    def sweep(self, now: float) -> None:
        """Forget some of what no longer matters."""
        self._pairs.sweep(now)
        self._users.sweep(now)
        self._places.sweep(now)


class _Failure(NamedTuple):
    level: float
    at: float
    until: float


class _Failures(Generic[_K]):
    """A level per key: grows by one with each failure, up to where the wait is longest, and sinks with time."""

    def __init__(self, free: int, first: float, longest: float, decay: float, most: int) -> None:
        self._free, self._first, self._longest, self._decay = free, first, longest, decay
        self._top = self._free + 1 + (log2(self._longest / self._first) if self._first else 0.0)
        self._failures: Recent[_K, _Failure] = Recent(most)

    def __len__(self) -> int:
        return len(self._failures)

    def __iter__(self) -> Iterator[_K]:
        return iter(self._failures)

    def __contains__(self, key: _K) -> bool:
        return key in self._failures

    def level(self, key: _K, now: float) -> float:
        """The failures that are not forgotten, a fraction while one is being forgotten."""
        failure = self._failures.get(key)
        return max(0.0, failure.level - (now - failure.at) / self._decay) if failure else 0.0

    def wait(self, key: _K, now: float) -> float:
        failure = self._failures.get(key)
        return max(0.0, failure.until - now) if failure else 0.0

    def unrest(self, key: _K, now: float) -> float:
        """The seconds in which an attempt makes others wait, or has to wait."""
        calm = (self.level(key, now) - self._free) * self._decay if self._first else 0.0
        return max(0.0, calm, self.wait(key, now))

    def add(self, key: _K, now: float) -> None:
        self._keep(key, min(self._top, self.level(key, now) + 1), now)

    def attempt(self, key: _K, now: float) -> None:
        """Begin the wait anew, without a failure."""
        if level := self.level(key, now):
            self._keep(key, level, now)

    def forget(self, key: _K) -> None:
        self._failures.pop(key, None)

    def sweep(self, now: float) -> None:
        """Forget some of what is forgiven and waits for nothing."""
        self._failures.sweep(lambda key, _: not self.level(key, now) and not self.wait(key, now))

    def _keep(self, key: _K, level: float, now: float) -> None:
        delay = min(self._longest, self._first * 2 ** (level - self._free - 1)) if level > self._free else 0.0
        self._failures.keep(key, _Failure(level, now, now + max(delay, self.wait(key, now))))
