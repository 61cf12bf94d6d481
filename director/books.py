"""The records of the users of this node: asked for, believed, written; and what is done for their sessions on the way.

A user is settled when nothing is left to be done but by others: the store, a worker, a backend, time.
"""

import logging
from collections import Counter
from heapq import heappop, heappush
from typing import Final, NamedTuple

from director.actions import AskDrained, Read, Swap
from director.door import Door, NearStore
from director.fleet import Fleet
from director.guard import Guard
from director.mover import Mover
from director.nodes import Nodes
from director.outbox import Outbox
from director.record import Record, decode
from director.roster import Key, Lease, Roster, User, Waiter
from director.settings import DirectorSettings
from director.settling import Settling
from director.store import BadRecord, Swapped
from director.wire import Assign, Grant, Kick, Reason, Refuse
from director.workers import Workers

_MOMENT: Final = 0.001


class Counts(NamedTuple):
    """What has happened since the start: leases by why, sessions ended by reason, refusals by reason."""

    assigns: Counter[str]
    kicks: Counter[str]
    refusals: Counter[str]


class Books:
    """See the module. Without a store that is `near`, orders to read and to swap are given."""

    def __init__(
        self,
        life: str,
        settings: DirectorSettings,
        roster: Roster,
        fleet: Fleet,
        guard: Guard,
        nodes: Nodes,
        workers: Workers,
        mover: Mover,
        outbox: Outbox,
        *,
        near: NearStore | None,
        checks_drained: bool,
    ) -> None:
        self.counts: Final = Counts(Counter(), Counter(), Counter())
        self.target: Final = mover.target
        self._life = life
        self._stay = max(settings.stay, _MOMENT)
        self._near = near
        self._roster = roster
        self._fleet = fleet
        self._guard = guard
        self._mover = mover
        self._nodes = nodes
        self._workers = workers
        self._out = outbox
        self._alarms: list[tuple[float, str]] = []
        self.door: Final = Door(
            life, settings, self, roster, fleet, nodes, workers, mover, outbox, near=near, stay=self._stay
        )
        self._settling = Settling(
            life,
            fleet,
            nodes,
            self,
            assign_wait=settings.assign_wait,
            poll=settings.heartbeat,
            checks_drained=checks_drained,
        )

    # What happens to users.

    def settle(self, user: User) -> None:
        """Do what is next for a user, until that is nothing, or the store's to do.

        Until all workers have said what they have, nothing is: sessions may be missing. Nobody is thought about and
        lingers on.
        """
        if user.lingers_until:
            self._roster.stay(user)
        if not self._workers.are_open:
            return
        while not user.asking:
            if not self._has_found_out(user):
                return
            if user.order == "flush":
                self._flush(user)
                continue
            user.taken = user.order
            record = self._settling.next(user, self._out.now)
            if record is None or record == user.record:
                break
            if self._nodes.away_since is not None:
                user.unsure = True
                self._roster.unsure.add(user.name)
                self._written(user, record, user.raw)
            elif self._swap(user, record):
                return
        if not user.asking:
            self._settled(user)

    # What happens besides.

    def look(self, name: str) -> None:
        """Others have changed the user's record."""
        user = self._roster.users.get(name)
        if user is not None:
            user.known = False
            self.settle(user)

    def look_all_up(self) -> None:
        """The store may have something else than we believe, of everybody."""
        self._roster.recent.clear()
        for user in list(self._roster.users.values()):
            user.known = False
            self.settle(user)

    def swapped(self, user: User, outcome: Swapped | bytes | None) -> None:
        """The store has been asked to write: it has, or there is something else."""
        user.asking = False
        if not self._has_swapped(user, outcome):
            self.settle(user)

    def was_read(self, user: User, value: bytes | None) -> None:
        """The store says what it has."""
        user.asking = False
        self._believe(user, value)
        self.settle(user)

    def lose_store(self) -> None:
        """The store does not answer."""
        if self._nodes.away_since is None:
            self._nodes.away_since = self._out.now
            self._out.note(logging.ERROR, "the store does not answer: this node goes on with what it knows")
            for user in list(self._roster.waiting.values()):
                self.settle(user)

    def wake(self) -> None:
        """Look again at those for whom it is time."""
        while self._alarms and self._alarms[0][0] <= self._out.now:
            _, name = heappop(self._alarms)
            user = self._roster.users.get(name)
            if user is not None:
                self._wake(user)

    # What Settling wants done.

    def grant(self, user: User, waiter: Waiter) -> None:
        """See Hands."""
        self._roster.remove(user, waiter.key)
        self.give(user, waiter.key, waiter)

    def refuse(self, user: User, waiter: Waiter, reason: Reason, text: str) -> None:
        """See Hands."""
        self._roster.remove(user, waiter.key)
        self._out.actions.extend(self._guard.ended(user.name, waiter.address, self._out.now))
        self.counts.refusals[reason] += 1
        self._out.send(waiter.key[0], Refuse(waiter.key[1], reason, text))

    def end(self, lease: Lease, reason: str, *, now: bool) -> None:
        """See Hands."""
        if lease.kicked == "now" or (lease.kicked and not now):
            return
        lease.kicked, lease.reason = "now" if now else "quietly", reason
        self.counts.kicks[reason] += 1
        self._out.send(lease.key[0], Kick(lease.key[1], reason, now))

    def repeat(self, lease: Lease) -> None:
        """Tell a worker that comes again what it may not have heard: that this session has to end."""
        if lease.kicked:
            self._out.send(lease.key[0], Kick(lease.key[1], lease.reason, lease.kicked == "now"))

    def look_again(self, user: User, at: float) -> None:
        """See Hands."""
        if user.looking <= self._out.now:
            user.looking = at
            heappush(self._alarms, (at, user.name))

    def ask_drained(self, user: User, backend: str) -> None:
        """See Hands."""
        user.asking_drained = True
        self._out.do(AskDrained(user.name, backend))

    def give(self, user: User, key: Key, session: Assign | Waiter) -> None:
        """Grant a session a lease on the backend of the user's record."""
        record = user.record
        assert record is not None  # noqa: S101  (nobody is granted what is not written)
        backend, shard, epoch = record.backend, record.shard, record.epoch
        lease = Lease(
            key,
            user.name,
            backend,
            shard,
            epoch,
            session.address,
            session.protocol,
            session.session,
            session.began,
        )
        lease.granted = self._out.now
        self._roster.add(user, lease)
        self.counts.assigns[user.why] += 1
        self._out.send(key[0], Grant(key[1], backend, shard, user.why, epoch))
        user.why = "sticky"

    # How a user is settled.

    def _has_found_out(self, user: User) -> bool:
        if not user.known and not self.find_out(user):
            return False
        if user.rerouted:
            self._mover.reroute(user)
        return True

    def find_out(self, user: User) -> bool:
        """Learn what the store has for a user; return False while it is being asked. If it is away, then nothing."""
        if self._nodes.away_since is not None:
            user.known = True
        elif self._near is not None:
            self._believe(user, self._near.read_now(user.name))
        else:
            user.asking = True
            self._out.do(Read(user.name))
        return user.known

    def _swap(self, user: User, record: Record | None) -> bool:
        """Have the store write a record; return whether that is all for now."""
        user.wanted = record
        user.asked = new = None if record is None else record.encode()
        ttl = None if record is None or record.holds else self._stay
        if self._near is None:
            user.asking = True
            self._out.do(Swap(user.name, user.raw, new, ttl))
            return True
        return self._has_swapped(user, self._near.swap_now(user.name, user.raw, new, ttl))

    def _has_swapped(self, user: User, outcome: Swapped | bytes | None) -> bool:
        """Take the outcome of a swap; return whether the user is settled with that, as nearly always."""
        if not isinstance(outcome, Swapped):
            self._believe(user, outcome)
            user.order = user.order or user.taken  # what was to be done for it has to be thought about again
            return False
        raw, user.asked = user.asked, None
        self._written(user, user.wanted, raw)
        if not self._is_done(user):
            return False
        self._settled(user)
        return True

    def _flush(self, user: User) -> None:
        user.order = user.taken = ""
        if user.record is None or user.leases or self._nodes.away_since is not None:
            return
        if user.record.holders <= {self._life}:
            self._swap(user, None)

    def _written(self, user: User, record: Record | None, raw: bytes | None) -> None:
        """The record is what the store was asked to write, or what was decided without it."""
        before, user.record, user.raw = user.record, record, raw
        if before is None or record is None:
            self._mover.track_home(user)
            return
        if before.backend != record.backend or before.target != record.target:
            self._out.changed.append(user.name)
            self._mover.track_home(user)
            return
        if record.target and len(before.holds) > len(record.holds):
            self._out.changed.append(user.name)
        if user.name in self._mover.failback:
            self._mover.track_home(user)

    def _believe(self, user: User, value: bytes | None) -> None:
        """The store says what it has."""
        user.known, user.raw, user.unsure, user.why = True, value, False, "sticky"
        self._roster.unsure.discard(user.name)
        try:
            user.record = None if value is None else decode(value)
        except BadRecord as fault:
            self._out.note(
                logging.ERROR, f"the store has a record of {user.name} that is none: {fault}; it is replaced"
            )
            user.record = None
        self._mover.track_home(user)

    def _settled(self, user: User) -> None:
        """Nothing more can be done for the user now: tell who waits for that, and forget whom nobody needs."""
        self._roster.judge(user)
        self._mover.tell(user)
        if user.idle and not self._mover.is_moving(user.name):
            self._roster.forget(user)
            if user.raw is not None and not user.unsure:
                self._roster.remember(user)

    def _wake(self, user: User) -> None:
        """The time to look again at a user has come; who is being moved may have been changed by others."""
        user.looking = 0.0
        if user.leases and user.record is not None and self._fleet.standing(user.record.backend) == "out":
            user.due = True
        user.known = False
        if user.record is not None and user.record.target:
            self._out.changed.append(user.name)
        self.settle(user)

    def _is_done(self, user: User) -> bool:
        """Whether what was written was the last that the user needed, as it nearly always is; grants on the way."""
        if not user.known or user.leases or user.order or user.rerouted:
            return False
        if user.waiters:
            record = user.record
            if record is None or not self.door.is_plain(user, record) or not record.held_by(self._life):
                return False
            for waiter in [waiter for waiter in user.waiters.values() if not waiter.failed]:
                self.grant(user, waiter)
            return not user.waiters
        return user.record is None or self._life not in user.record.holders
