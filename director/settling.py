"""What is next for a user: the one place where it is decided where the user may be, and when sessions have to go.

`Settling.next` looks at the user's record, at the sessions here, and at the backends, and returns the record as it
should be; the caller writes that, and asks again until nothing is left to be done. So every change of a record begins
here, and is one of the transitions of `director/record.py`.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from director.choice import Why
from director.fleet import Fleet
from director.record import Hold, Record, abort_move, begin_move, claim, drop, fail_over, finish_move, without
from director.roster import Lease, User, Waiter
from director.shards import Backend, Shard
from director.wire import Reason

AGREE: Final = 3.0
"""Seconds for which a login waits for the nodes to agree on a backend that only this one cannot reach."""

MOVED: Final = "moved"
BACKEND_DOWN: Final = "backend down"
ELSEWHERE: Final = "user is on another backend"


class Placed(NamedTuple):
    """Where a user is to go, and why."""

    backend: Backend
    shard: Shard
    why: Why


class Target(NamedTuple):
    """Where a user is being moved, and whether to stay there even if another backend is preferred."""

    backend: str
    shard: str
    pinned: bool


class Hands(Protocol):
    """What is done for a user besides writing the record."""

    def grant(self, user: User, waiter: Waiter) -> None:
        """Give the session a lease on the record's backend."""

    def refuse(self, user: User, waiter: Waiter, reason: Reason, text: str) -> None:
        """Give the session none."""

    def end(self, lease: Lease, reason: str, *, now: bool) -> None:
        """End the session, at once or between two responses, if that has not been ordered before."""

    def look_again(self, user: User, at: float) -> None:
        """Ask what is next at that time, if nothing happens before."""

    def ask_drained(self, user: User, backend: str) -> None:
        """Ask the backend whether it has ended all the user's sessions; then ask what is next."""

    def target(self, user: User) -> Target | None:
        """Where this node is moving the user."""


class Lives(Protocol):
    """Which lives of nodes there are; what it contains are those whose holds do not count."""

    def __contains__(self, life: object) -> bool: ...

    def is_known(self, life: str) -> bool:
        """Whether anything has been heard of it, so that its vote has been counted."""


class Settling:
    """Decides for the users of a node, whose life is `life`."""

    def __init__(
        self,
        life: str,
        fleet: Fleet,
        lives: Lives,
        hands: Hands,
        *,
        assign_wait: float,
        poll: float,
        checks_drained: bool,
    ) -> None:
        self._life = life
        self._fleet = fleet
        self._lives = lives
        self._hands = hands
        self._assign_wait = assign_wait
        self._poll = poll
        self._checks_drained = checks_drained

    def next(self, user: User, now: float) -> Record | None:
        """Return the record as it should be; None if the user is to have none, which is so before the first claim."""
        record = user.record
        if record is None:
            return self._first(user, now)
        if any(hold.node in self._lives for hold in record.holds):
            record = without(record, self._lives)
        return self._moving(user, record, now) if record.target else self._placed(user, record, now)

    def place(self, user: User, shard: Shard, now: float) -> Placed | None:
        """Return where a user of the shard goes who may go anywhere."""
        chosen = self._fleet.choose(user.name, shard, user.preferred, now)
        return Placed(chosen[0], shard, chosen[1]) if chosen is not None else None

    def _first(self, user: User, now: float) -> Record | None:
        """Nobody has assigned the user: sessions that live say where, then an order, then the choice."""
        if user.leases:
            newest = max(user.leases.values(), key=lambda lease: (lease.epoch, lease.began))
            epoch = max(newest.epoch, 1)
            return Record(newest.backend, newest.shard, epoch, holds=(Hold(self._life, epoch),))
        order, user.order = user.order, ""
        target = self._hands.target(user) if order == "hold" else None
        if target is not None:
            return Record(target.backend, target.shard, 1, pinned=target.pinned)
        if not user.waiters:
            return None
        placed = self._wanted(user, now)
        if placed is None:
            return None
        user.why = placed.why
        return claim(None, self._life, placed.backend.name, placed.shard.name).record

    def _wanted(self, user: User, now: float) -> Placed | None:
        """Where those who wait are to go; if nowhere, they are told."""
        shard = self._fleet.find_shard(user.shard)
        if shard is None:
            self._refuse(user, "no_shard", f"no shard is called {user.shard!r}")
            return None
        placed = self.place(user, shard, now)
        if placed is None:
            self._refuse(user, "no_backend", f"no backend of shard {shard.name!r} may be used")
        return placed

    # A user who is being moved.

    def _moving(self, user: User, record: Record, now: float) -> Record:
        order, user.order = user.order, ""
        if not record.holds:
            return finish_move(record)
        down = self._is_lost(record)
        if order == "undo" or not self._fleet.keeps(record.target):
            return fail_over(abort_move(record), self._partner(user, record, now)) if down else abort_move(record)
        if order == "hold" and (target := self._hands.target(user)) is not None and target.backend != record.target:
            return begin_move(record, target.backend, target.shard, pinned=target.pinned)
        if down:
            return fail_over(record, record.target)
        for lease in user.leases.values():
            self._hands.end(lease, MOVED, now=lease.backend != record.backend)
        if not user.leases and self._life in record.holders and self._has_drained(user, record):
            return drop(record, self._life)
        if self._wait_until(user, "waited", "the user is being moved", self._assign_wait, now) or self._hands.target(
            user
        ):
            self._hands.look_again(user, now + self._poll)
        return record

    def _has_drained(self, user: User, record: Record) -> bool:
        if not self._checks_drained or user.drained:
            user.drained = False
            return True
        if not user.asking_drained:
            self._hands.ask_drained(user, record.backend)
        return False

    def _partner(self, user: User, record: Record, now: float) -> str:
        """Another backend than the one that is down, or that one if there is no other."""
        shard = self._fleet.find_shard(record.shard)
        placed = None if shard is None else self.place(user, shard, now)
        return record.backend if placed is None else placed.backend.name

    # A user who is somewhere.

    def _placed(self, user: User, record: Record, now: float) -> Record:
        if user.order:
            order, user.order = user.order, ""
            target = self._hands.target(user) if order == "hold" else None
            new = target is not None and (target.backend != record.backend or target.pinned)
            if target is not None and new and self._fleet.keeps(target.backend):
                moved = begin_move(record, target.backend, target.shard, pinned=target.pinned)
                if moved != record:
                    return self._claimed(user, moved)
        if self._is_disputed(record):
            return self._undecided(user, record, f"the nodes have not agreed yet on {record.backend}", now)
        elsewhere = self._elsewhere(user, record, now)
        if elsewhere is not None:
            return self._claimed(user, elsewhere)
        if not self._fleet.keeps(record.backend):
            self._refuse(user, "no_backend", f"{record.backend} may not be used, and there is no other")
            return self._let_go(user, record)
        return self._served(user, record, now)

    def _elsewhere(self, user: User, record: Record, now: float) -> Record | None:
        """The record of a user whose backend is no longer the right one, or has failed; None: it is right."""
        right = user.shard == record.shard and self._fleet.is_in(record.backend, record.shard)
        shard = self._fleet.find_shard(user.shard) if user.waiters and not right else None
        if shard is not None and record.backend not in shard.names:
            placed = self.place(user, shard, now)
            return None if placed is None else self._begin(user, record, placed)
        if self._fleet.keeps(record.backend) or not (user.waiters or user.due):
            return None
        home = shard or self._fleet.find_shard(record.shard)
        placed = None if home is None else self.place(user, home, now)
        if placed is None or placed.backend.name == record.backend:
            return None
        if self._is_lost(record):
            user.why = placed.why
            return fail_over(record, placed.backend.name)
        return self._begin(user, record, placed)

    def _begin(self, user: User, record: Record, placed: Placed) -> Record:
        user.why = placed.why
        if self._is_lost(record):  # what is left there is dead: there is nothing to wait for
            return fail_over(begin_move(record, placed.backend.name, placed.shard.name), placed.backend.name)
        return begin_move(record, placed.backend.name, placed.shard.name)

    def _claimed(self, user: User, record: Record) -> Record:
        """The record, held already if somebody waits and may have it: that saves asking the store twice."""
        if (
            user.waiters
            and not record.target
            and self._fleet.grants(record.backend)
            and not self._lives_elsewhere(user, record)
        ):
            return claim(record, self._life, "", "").record
        return record

    def _served(self, user: User, record: Record, now: float) -> Record:
        """The backend is the right one: who waits gets it, whom nobody needs is let go."""
        user.due = user.drained = False
        if user.leases and self._must_close(user, record):
            if self._wait_until(user, "waited", "older sessions are being closed", self._assign_wait, now):
                self._hands.look_again(user, now + self._poll)
            return record
        if user.waiters:
            return self._answered(user, record, now)
        if user.leases:
            return record if record.held_by(self._life) else claim(record, self._life, "", "").record
        return self._let_go(user, record)

    def _must_close(self, user: User, record: Record) -> bool:
        """Close the sessions that are elsewhere; return whether some of them are on a backend that is alive."""
        for lease in user.leases.values():
            if lease.backend != record.backend:
                down = self._fleet.standing(lease.backend) == "out"
                self._hands.end(lease, BACKEND_DOWN if down else ELSEWHERE, now=True)
        return self._lives_elsewhere(user, record)

    def _answered(self, user: User, record: Record, now: float) -> Record:
        backend = record.backend
        if not self._fleet.grants(backend):
            return self._undecided(user, record, f"{backend} cannot be reached from this node", now)
        ready = self._ready(user, backend)
        if not ready:
            return self._let_go(user, record)
        if not record.held_by(self._life):
            return claim(record, self._life, "", "").record
        for waiter in ready:
            self._hands.grant(user, waiter)
        return record

    def _undecided(self, user: User, record: Record, text: str, now: float) -> Record:
        """Let those who wait do so for as long as the nodes may need to agree."""
        if self._wait_until(user, "unreachable", text, AGREE, now):
            self._hands.look_again(user, now + self._poll)
        return self._let_go(user, record)

    def _is_disputed(self, record: Record) -> bool:
        """Whether the record's backend is out for this node, but a node that uses it has had no vote on it yet.

        That one has started after this node last looked, and what it sees there is not known.
        """
        out = self._fleet.standing(record.backend) == "out"
        return out and not all(self._lives.is_known(hold.node) for hold in record.holds)

    def _is_lost(self, record: Record) -> bool:
        """Whether the record's backend is out for all who use it: there is nothing to wait for."""
        return self._fleet.standing(record.backend) == "out" and not self._is_disputed(record)

    def _ready(self, user: User, backend: str) -> list[Waiter]:
        """Those who may have the backend: who has just failed there waits until a probe has told why."""
        waiters = list(user.waiters.values())
        if not any(waiter.failed == backend for waiter in waiters):
            return waiters
        if self._fleet.standing(backend) == "down":
            text = f"{backend} has failed, and there is no other"
            self._refuse(user, "no_backend", text, lambda waiter: waiter.failed == backend)
        elif not self._fleet.doubtful(backend):
            return waiters
        return [waiter for waiter in waiters if waiter.failed != backend]

    def _let_go(self, user: User, record: Record) -> Record:
        """Nobody may be served now; a hold without sessions would keep the user from being moved."""
        if user.leases or self._life not in record.holders:
            return record
        return drop(record, self._life)

    def _lives_elsewhere(self, user: User, record: Record) -> bool:
        """Whether sessions here are on another backend that is alive: nobody is granted anything before they end."""
        return any(
            lease.backend != record.backend and self._fleet.standing(lease.backend) != "out"
            for lease in user.leases.values()
        )

    def _wait_until(self, user: User, reason: Reason, text: str, longest: float, now: float) -> bool:
        """Refuse who has waited for longer than that; return whether somebody waits on."""
        self._refuse(user, reason, text, lambda waiter: now - waiter.since >= longest)
        return bool(user.waiters)

    def _refuse(self, user: User, reason: Reason, text: str, which: Callable[[Waiter], bool] = lambda _: True) -> None:
        for waiter in [waiter for waiter in user.waiters.values() if which(waiter)]:
            self._hands.refuse(user, waiter, reason, text)
