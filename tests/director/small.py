"""A director that fits into a test: no store, no clock, no probes; but leases, refusals, kicks and moves are real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from director import Shards, choose
from director.wire import (
    VERSION,
    Announce,
    Assign,
    Attempt,
    Catalogue,
    Failed,
    FromWorker,
    Grant,
    Hello,
    Kick,
    Place,
    Reason,
    Refuse,
    Release,
    Report,
    Wait,
    Wary,
    Welcome,
)
from tests.director.far_end import FarEnd


class SmallDirector(FarEnd):
    """Keeps each user on one backend; one that fails `failures_to_down` times in a row is down for good.

    `leases` has the user and the backend of each. A user whose entry names another shard goes there when the old
    sessions have ended, which are kicked. While `held` is set nobody is given a lease. `refusals` has what users get
    instead of one. Of `waits`, each attempt gets the next; `penalty` is what a failed one gets.
    """

    def __init__(self, shards: Shards, failures_to_down: int = 2) -> None:
        super().__init__()
        self.shards = shards
        self.leases: dict[int, tuple[str, str]] = {}
        self.users: dict[str, tuple[str, str]] = {}
        self.down: set[str] = set()
        self.refusals: dict[str, tuple[Reason, str]] = {}
        self.waits: list[float] = []
        self.penalty = 0.0
        self.held = False
        self._failures_to_down = failures_to_down
        self._failures: Counter[str] = Counter()
        self._waiting: dict[int, Assign] = {}
        self._takers: Mapping[type, Callable[[Any], None]] = {
            Hello: self._hello,
            Announce: self._announce,
            Assign: self._assign,
            Release: self._release,
            Report: self._report,
            Attempt: self._attempt,
            Failed: self._failed,
        }

    def take(self, message: FromWorker) -> None:
        super().take(message)
        taker = self._takers.get(type(message))
        if taker is not None:
            taker(message)

    # What tests do.

    def kick(self, user: str, reason: str = "moved", *, now: bool = False) -> None:
        """End the sessions of a user."""
        self._kick([lease for lease, (held, _) in self.leases.items() if held == user], reason, now)

    def move(self, user: str, backend: str) -> None:
        """Move a user to another backend of the same shard, quietly."""
        shard, _ = self.users[user]
        self.kick(user)
        self.users[user] = shard, backend

    def fail(self, backend: str) -> None:
        """The backend is down: who is there has to leave at once."""
        self.down.add(backend)
        self._kick([lease for lease, (_, held) in self.leases.items() if held == backend], "backend down", True)

    def give(self) -> None:
        """Give leases again, also to those who have waited."""
        self.held = False
        self._look_again()

    def beware(self, name: str = "", address: str = "") -> None:
        """Have the worker ask before this name is tried from there."""
        self.say(Wary(name, address, 3600.0))

    # What workers say.

    def _hello(self, _: Hello) -> None:
        backends = [backend for shard in self.shards.all for backend in shard.backends]
        places = [Place(backend.name, backend.host, dict(backend.ports)) for backend in backends]
        self.leases.clear()
        self.say(Welcome(VERSION, "front1/0"), Catalogue(places))

    def _announce(self, announced: Announce) -> None:
        self.leases[announced.lease] = announced.user, announced.backend
        self.users[announced.user] = announced.shard, announced.backend

    def _assign(self, asked: Assign) -> None:
        self._waiting[asked.lease] = asked
        self._look_again()

    def _release(self, release: Release) -> None:
        self.leases.pop(release.lease, None)
        self._waiting.pop(release.lease, None)
        self._look_again()

    def _report(self, report: Report) -> None:
        self._failures[report.backend] = 0 if report.ok else self._failures[report.backend] + 1
        if self._failures[report.backend] >= self._failures_to_down:
            self.fail(report.backend)

    def _attempt(self, attempt: Attempt) -> None:
        self.say(Wait(attempt.request, self.waits.pop(0) if self.waits else 0.0))

    def _failed(self, failed: Failed) -> None:
        self.say(Wait(failed.request, self.penalty))

    def _look_again(self) -> None:
        for asked in [] if self.held else tuple(self._waiting.values()):
            answer = self._answer(asked)
            if answer is not None:
                del self._waiting[asked.lease]
                self.say(answer)

    def _answer(self, asked: Assign) -> Grant | Refuse | None:
        if asked.user in self.refusals:
            return Refuse(asked.lease, *self.refusals[asked.user])
        shard = self.shards.find(asked.shard)
        if shard is None:
            return Refuse(asked.lease, "no_shard", f"no shard is called {asked.shard!r}")
        _, there = self.users.get(asked.user, ("", ""))
        usable = shard.names - self.down
        if there in usable:
            backend, why = there, "sticky"
        else:
            choice = choose(asked.user, shard, asked.preferred, usable)
            if choice is None:
                return Refuse(asked.lease, "no_backend", f"all backends of shard {shard.name!r} are down")
            backend, why = choice[0].name, choice[1]
        if self._must_wait_for_others(asked.user, backend):
            return None
        self.users[asked.user] = shard.name, backend
        self.leases[asked.lease] = asked.user, backend
        return Grant(asked.lease, backend, shard.name, why, 1)

    def _must_wait_for_others(self, user: str, backend: str) -> bool:
        """Whether the user has sessions on another backend, which are kicked."""
        elsewhere = [lease for lease, (held, at) in self.leases.items() if held == user and at != backend]
        self._kick(elsewhere, "user is on another backend", True)
        return bool(elsewhere)

    def _kick(self, leases: Sequence[int], reason: str, now: bool) -> None:
        if leases:
            self.say(*(Kick(lease, reason, now) for lease in leases))
