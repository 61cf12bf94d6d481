"""The director of a node, without I/O: events in, actions out, the clock passed in.

Users are settled one by one: whenever something has happened that concerns a user, `Settling` says what the record
should be, and it is written by compare-and-set; the answer leads on, until nothing is left to be done. All that a node
knows of a user without sessions is in the store.

While the store is away the node goes on with what it knows. Who was settled in that time is `unsure`; when the store is
back they are all looked up, and where it says something else, it is right.
"""

import logging
import random as chance
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from director.actions import (
    Action,
    Probe,
    Publish,
    Scan,
    SetAdmin,
    Vote,
)
from director.books import Books
from director.door import NearStore
from director.fleet import Fleet, Turns
from director.guard import MARK, Guard
from director.hints import Admin, Changed, KickAll, Voted, encode
from director.hints import decode as decode_hint
from director.mover import DRAIN, Mover
from director.nodes import Nodes
from director.outbox import Outbox
from director.record import Record, decode
from director.roster import Key, Lease, Roster, User, Waiter
from director.settings import DirectorSettings
from director.shards import Backend, Shards
from director.store import BadRecord, Snapshot, Swapped
from director.wire import (
    VERSION,
    Announce,
    Assign,
    Attempt,
    Catalogue,
    Connected,
    Failed,
    FromWorker,
    Passed,
    Place,
    Reason,
    Refuse,
    Release,
    Report,
    Welcome,
)
from director.workers import Workers

KICKED: Final = "kicked"

_STRAYS: Final = "strays"
_DEAD: Final = "dead"
_FLUSH: Final = "flush"
_ROUTES: Final = "routes"
_SEARCHES: Final = (_STRAYS, _DEAD, _ROUTES)
"""Scans that have to come to their end, however often the store goes away."""

_LIMITS: Final[dict[str, Reason]] = {"user": "limit_user", "address": "limit_address", "pair": "limit_pair"}


class Core:
    """See the module. `life` names this node's life; `workers` are expected to announce what they have; `near`
    is the store if it is in this process: then nobody else is told to read and to swap; `random` gives numbers from 0
    to 1. Every event returns what is to be done, in this order."""

    def __init__(
        self,
        life: str,
        settings: DirectorSettings,
        shards: Shards,
        *,
        workers: int,
        now: float,
        near: NearStore | None = None,
        checks_drained: bool = False,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self.life: Final = life
        self.settings: Final = settings
        self.fleet: Final = Fleet(life, settings, shards, now)
        self.guard: Final = Guard(life, settings.limits)
        self.roster: Final = Roster()
        self.nodes: Final = Nodes(life, settings.node_timeout, now)
        self.workers: Final = Workers(workers, now)
        self.ejections: Final = Counter[str]()
        """How often each backend was taken out."""
        self._out = Outbox(life, now)
        self.mover: Final = Mover(settings, self.roster, self.fleet, self.nodes, self._out)
        self.books: Final = Books(
            life,
            settings,
            self.roster,
            self.fleet,
            self.guard,
            self.nodes,
            self.workers,
            self.mover,
            self._out,
            near=near,
            checks_drained=checks_drained,
        )
        self._near = near
        self._random = random
        self._identity = ""
        self._beaten_at = now
        self._doubted = False
        """This node was away: until others have looked, they may take it for dead and drop what it holds."""
        self._broken_off: set[str] = set()
        self._admin: dict[str, str] = {}
        self.mover.arrange()

    # Events: workers.

    def joined(self, worker: str, slot: int, now: float) -> Sequence[Action]:
        """A worker has said `Hello`."""
        self._out.now = now
        self.workers.joined(worker, slot, self.roster.where.get(worker, ()))
        self._out.send(worker, Welcome(VERSION, self.life))
        self._out.send(worker, self._catalogue())
        self._out.actions.extend(self.guard.joined(worker, now))
        return self._take()

    def announced(self, worker: str, leases: Sequence[Announce], complete: bool, now: float) -> Sequence[Action]:
        """A worker has said which sessions it has; `complete`: those were all."""
        self._out.now = now
        for message in leases:
            self.workers.announced(worker, message.lease)
            self._announce(worker, message)
        if complete:
            for number in self.workers.complete(worker):
                self._release((worker, number))
            if self.workers.may_open(now):
                self._open()
        return self._take()

    def left(self, worker: str, now: float) -> Sequence[Action]:
        """The connection of a worker has ended; its sessions count until it has been gone for `PATIENCE`."""
        self._out.now = now
        self.workers.left(worker, now)
        self.guard.left(worker)
        return self._take()

    def said(self, worker: str, message: FromWorker, now: float) -> Sequence[Action]:
        """A worker has said something else."""
        self._out.now = now
        if isinstance(message, Assign):
            self._assign(worker, message)
        elif isinstance(message, Release):
            self._release((worker, message.lease))
        elif isinstance(message, Report):
            self._turn(self.fleet.reported(message.backend, message.user, message.phase, message.ok, now))
        elif isinstance(message, Connected | Attempt | Failed | Passed):
            self._out.actions.extend(self.guard.said(worker, message, now))
        return self._take()

    # Events: backends.

    def probed(self, backend: str, problem: str, now: float) -> Sequence[Action]:
        """A probe is over; `problem` is "" if all is well."""
        self._out.now = now
        self._turn(self.fleet.probed(backend, problem, now))
        for user in list(self.roster.waiting.values()):
            if any(waiter.failed == backend for waiter in user.waiters.values()):
                self.books.settle(user)
        return self._take()

    def gate_said(self, home: str, synced: bool, asked_at: float, now: float) -> Sequence[Action]:
        """The sync gate has answered."""
        self._out.now = now
        self.mover.gate_said(home, synced, asked_at)
        return self._take()

    def drained_said(self, user: str, backend: str, drained: bool, now: float) -> Sequence[Action]:
        """A backend has been asked whether it still has sessions of the user."""
        self._out.now = now
        known = self.roster.users.get(user)
        if known is not None:
            known.asking_drained = False
            known.drained = drained
            if drained:
                self.books.settle(known)
            else:
                self.books.look_again(known, now + self.settings.heartbeat)
        return self._take()

    # Events: the store.

    def swapped(self, user: str, outcome: Swapped | bytes | None, now: float) -> Sequence[Action]:
        """`Swap` is done: the record is there, or the outcome is there instead."""
        self._out.now = now
        known = self.roster.users.get(user)
        if known is not None and known.asking:
            self.books.swapped(known, outcome)
        return self._take()

    def was_read(self, user: str, value: bytes | None, now: float) -> Sequence[Action]:
        """`Read` is done."""
        self._out.now = now
        known = self.roster.users.get(user)
        if known is not None and known.asking:
            self.books.was_read(known, value)
        return self._take()

    def store_failed(self, user: str, now: float) -> Sequence[Action]:
        """`Swap` or `Read` had no answer."""
        self._out.now = now
        self.books.lose_store()
        known = self.roster.users.get(user)
        if known is not None and known.asking:
            known.asking = False
            self.books.settle(known)
        return self._take()

    def beat(self, snapshot: Snapshot, now: float) -> Sequence[Action]:
        """The store has answered to a heartbeat."""
        self._out.now = now
        returned, self.nodes.away_since = self.nodes.away_since is not None, None
        emptied = snapshot.store != self._identity
        first, self._identity = not self._identity, snapshot.store
        slept, self._beaten_at = now - self._beaten_at >= self.settings.node_timeout, now
        for life in self.nodes.look(snapshot.nodes, emptied, now):
            self._out.note(logging.WARNING, f"node {life} is dead: its sessions hold nobody any more")
            if self.nodes.is_first:
                self._out.do(Scan(_DEAD, ""))
        self.guard.nodes(self.nodes.living)
        self._turn(self.fleet.votes(snapshot.nodes, snapshot.votes, now))
        self._admin = dict(snapshot.admin)
        self._turn(self.fleet.admin(self._admin, now))
        self.mover.arrange()
        if returned or emptied or slept:
            self._reconcile(first and not returned)
        elif self._doubted and self.nodes.count_us(now):
            self._doubted = False
            self.books.look_all_up()
        for purpose in sorted(self._broken_off):
            self._out.do(Scan(purpose, ""))
        self._broken_off.clear()
        return self._take()

    def beat_failed(self, now: float) -> Sequence[Action]:
        """The store did not answer to a heartbeat."""
        self._out.now = now
        self.books.lose_store()
        return self._take()

    def heard(self, message: bytes, now: float) -> Sequence[Action]:
        """A message has come, perhaps from ourselves."""
        self._out.now = now
        if message.startswith(MARK):
            self._out.actions.extend(self.guard.heard(message, now))
            return self._take()
        hint = decode_hint(message)
        if hint is None or hint.node == self.life:
            return ()
        if isinstance(hint, Changed):
            for name in hint.users:
                self.books.look(name)
        elif isinstance(hint, Voted):
            self._turn(self.fleet.heard_vote(hint.node, hint.backend, hint.up, now))
        elif isinstance(hint, Admin):
            self._admin[hint.backend] = hint.state
            self._turn(self.fleet.admin(self._admin, now))
            self.mover.arrange()
        else:
            self._kick_all(hint.target)
        return self._take()

    def counted(self, key: str, shares: dict[str, int], now: float) -> Sequence[Action]:
        """`Count` is done."""
        self._out.now = now
        self.guard.counted(key, shares, now)
        return self._take()

    def scanned(self, purpose: str, found: Sequence[tuple[str, bytes]], now: float) -> Sequence[Action]:
        """Some of what a scan has found."""
        self._out.now = now
        for name, value in found:
            try:
                self._scanned(purpose, name, value, decode(value))
            except BadRecord:
                self._out.note(logging.WARNING, f"the store has a record of {name} that is none")
        return self._take()

    def scan_done(self, purpose: str, complete: bool, now: float) -> Sequence[Action]:
        """A scan is over, or the store has gone away meanwhile."""
        self._out.now = now
        if not complete and purpose in _SEARCHES:
            self._broken_off.add(purpose)
        stranded = self.mover.surveyed(purpose, complete)
        if stranded and self.fleet.admin_state(stranded) == "offline":
            self._order_kick(stranded)
        return self._take()

    # Events: the directory.

    def route_changed(self, user: str, shard: str, preferred: str, now: float) -> Sequence[Action]:
        """The directory says that the user belongs elsewhere, or prefers another backend; shard "": is gone."""
        self._out.now = now
        if shard:
            known = self.roster.user(user, known=False)
            known.shard, known.preferred = shard, preferred
            known.routed = known.rerouted = True
            self.books.settle(known)
        return self._take()

    def shards_changed(self, shards: Shards, now: float) -> Sequence[Action]:
        """There are other shards, or other backends in them."""
        self._out.now = now
        self._turn(self.fleet.arrange(shards, now))
        self.mover.arrange()
        for worker in self.workers.slots:
            self._out.send(worker, self._catalogue())
        for user in list(self.roster.users.values()):
            if user.record is not None and not self._is_in_place(user.record):
                user.shard, user.rerouted = user.shard or user.record.shard, True
                self.books.settle(user)
        self._out.do(Scan(_ROUTES, ""))
        return self._take()

    # Events: time.

    def tick(self, now: float) -> Sequence[Action]:
        """Some time has passed."""
        self._out.now = now
        if self.workers.may_open(now):
            self._open()
        for worker in self.workers.gone(now):
            for _, key in self.roster.of_worker(worker):
                self._release(key)
            self.roster.where.pop(worker, None)
        self.books.wake()
        self.books.door.part_with_the_late()
        self._turn(self.fleet.tick(now))
        self._out.actions.extend(self.guard.tick(now))
        self.mover.tick()
        return self._take()

    def ending(self, now: float) -> Sequence[Action]:
        """This life comes to its end: what it holds for nobody is given up."""
        self._out.now = now
        self.books.door.end_lingering()
        return self._take()

    # Orders of operators.

    def kick(self, target: str, now: float) -> tuple[int, Sequence[Action]]:
        """End the sessions of a user, an address or a backend, on all nodes; return how many there are on this one."""
        self._out.now = now
        return self._order_kick(target), self._take()

    def move(self, user: str, backend: Backend, now: float) -> Sequence[Action]:
        """Move a user to a backend."""
        self._out.now = now
        self.mover.move(user, backend)
        return self._take()

    def drain(self, backend: str, now: float, *, dry: bool) -> tuple[str, Sequence[Action]]:
        """Move everybody who is on a backend to others; return the job, whose survey says what it is going to do.

        A backend that is online goes on standby with that: else those who have left would soon return.
        """
        self._out.now = now
        if not dry and self.fleet.admin_state(backend) == "online":
            self._say_admin(backend, "standby")
        job = self.mover.drain(backend, dry=dry)
        return job, self._take()

    def set_admin(self, backend: str, state: str, now: float) -> Sequence[Action]:
        """Keep the operator's word: online, standby or offline. Who is on a backend that goes offline is moved, and
        whoever cannot be moved is kicked."""
        self._out.now = now
        self._say_admin(backend, state)
        if state == "offline":
            self.mover.drain(backend, dry=False)
        return self._take()

    def flush(self, user: str, now: float) -> Sequence[Action]:
        """Forget the assignment of a user without sessions; of all such users for ""."""
        self._out.now = now
        if user:
            known = self.roster.user(user, known=False)
            known.order = known.order or "flush"
            self.books.settle(known)
        else:
            survey = self.mover.survey(_FLUSH, dry=False)
            for lingering in list(self.roster.lingering.values()):
                lingering.order = "flush"
                survey.users += 1
                self.books.settle(lingering)
            self._out.do(Scan(_FLUSH, ""))
        return self._take()

    def abort(self, job: str, now: float) -> Sequence[Action]:
        """Let who has not been moved stay."""
        self._out.now = now
        self.mover.abort(job)
        return self._take()

    # Questions.

    def names(self) -> list[str]:
        """Return all users of this node."""
        return list(self.roster.users)

    # Sessions.

    def _assign(self, worker: str, message: Assign) -> None:
        key = worker, message.lease
        if self.roster.find(key) is not None:
            return  # asked again after a reconnect
        shard = self.fleet.find_shard(message.shard)
        if shard is None:
            self._deny(key, "no_shard", f"no shard is called {message.shard!r}")
            return
        if self.roster.present >= self.settings.max_assignments and not self.roster.has(message.user):
            self._deny(key, "full", "too many users are connected (max_assignments)")
            return
        verdict, actions = self.guard.began(message.user, message.address, self._out.now)
        self._out.actions.extend(actions)
        if not verdict.allowed:
            self._deny(key, _LIMITS[verdict.limit], verdict.text, verdict.wait)
            return
        user = self.roster.arriving(message.user, known=self._near is None)
        user.shard, user.preferred, user.routed = shard.name, message.preferred, True
        if self.books.door.join(user, key, message):
            return
        now = self._out.now
        self.roster.wait(
            user, Waiter(key, message.address, message.protocol, message.session, now, message.failed, message.began)
        )
        if not self.books.door.enter(user, message.failed):
            self.books.settle(user)

    def _deny(self, key: Key, reason: Reason, text: str, wait: float = 0.0) -> None:
        self.books.counts.refusals[reason] += 1
        self._out.send(key[0], Refuse(key[1], reason, text, wait))

    def _release(self, key: Key) -> None:
        user = self.roster.find(key)
        if user is None:
            return
        waiter = user.waiters.get(key)
        lease = self.roster.remove(user, key)
        address = lease.address if lease is not None else waiter.address if waiter is not None else ""
        self._out.actions.extend(self.guard.ended(user.name, address, self._out.now))
        if not user.leases:
            if not self.books.door.leave(user):
                self.books.settle(user)
        elif user.split or (user.record is not None and user.record.target):
            self.books.settle(user)

    def _announce(self, worker: str, message: Announce) -> None:
        key = worker, message.lease
        known = self.roster.find(key)
        if known is not None:
            if key in known.leases:
                self.books.repeat(known.leases[key])
            return
        user = self.roster.user(message.user, known=False)
        user.shard = user.shard or message.shard
        self.guard.resumed(message.user, message.address)
        self.roster.add(
            user,
            Lease(
                key,
                message.user,
                message.backend,
                message.shard,
                message.epoch,
                message.address,
                message.protocol,
                message.session,
                message.began,
            ),
        )
        self.books.settle(user)

    def _open(self) -> None:
        """All workers have said what they have, or have had the time for it."""
        self.workers.open()
        for user in list(self.roster.users.values()):
            self.books.settle(user)
        self._out.do(Scan(_STRAYS, ""))

    def _say_admin(self, backend: str, state: str) -> None:
        self._admin[backend] = state
        self._turn(self.fleet.admin(self._admin, self._out.now))
        self._out.do(SetAdmin(backend, "" if state == "online" else state))
        self._out.do(Publish(encode(Admin(self.life, backend, state))))
        self.mover.arrange()

    def _order_kick(self, target: str) -> int:
        """Kick who is meant on all nodes; return how many sessions that are on this one."""
        self._out.do(Publish(encode(KickAll(self.life, target))))
        return self._kick_all(target)

    def _kick_all(self, target: str) -> int:
        """Kick who is meant: a user, an address, or everybody on a backend; return how many sessions that are."""
        leases = [lease for lease in self.roster.leases() if target in (lease.user, lease.address, lease.backend)]
        for lease in leases:
            self.books.end(lease, KICKED, now=False)
        return len(leases)

    # The store as a whole.

    def _reconcile(self, first: bool) -> None:
        """The store is back, or it is another, or others may have taken us for dead: look everybody up whom we know."""
        self._doubted = not first
        if not first:
            self._out.note(
                logging.WARNING, "the store is back, or has lost something, or had not heard of us: all are looked up"
            )
        self.books.look_all_up()
        if not first:
            self._out.do(Scan(_STRAYS, ""))

    def _scanned(self, purpose: str, name: str, value: bytes, record: Record) -> None:
        if purpose.startswith(DRAIN):
            self.mover.found(purpose, name, record)
            return
        if purpose == _ROUTES:
            concerned = not self._is_in_place(record)
        elif purpose == _FLUSH:
            concerned = not record.holds
        else:
            concerned = any(hold.node in self.nodes or hold.node == self.life for hold in record.holds)
        if not concerned or name in self.roster.users:
            return
        user = self.roster.user(name, known=True)
        user.raw, user.record = value, record
        if purpose == _FLUSH:
            user.order = "flush"
            self.mover.surveys[_FLUSH].users += 1
        if purpose == _ROUTES:
            user.shard, user.rerouted = record.shard, True
        self.books.settle(user)

    def _is_in_place(self, record: Record) -> bool:
        shard = self.fleet.find_shard(record.shard)
        return shard is not None and record.backend in shard.names

    # Backends.

    def _turn(self, turns: Turns) -> None:
        """Do what follows from news about backends."""
        for backend, up in turns.votes:
            self._out.do(Vote(backend, up))
            self._out.do(Publish(encode(Voted(self.life, backend, up))))
        for backend in turns.probes:
            self._out.do(Probe(backend))
        for turn in turns.turns:
            self._turned(turn.backend, turn.was, turn.standing)
        for name in turns.admin:
            self.books.door.part_with_all(name)
        if turns.turns:
            for user in list(self.roster.waiting.values()):
                self.books.settle(user)

    def _turned(self, backend: str, was: str, standing: str) -> None:
        level = logging.INFO if standing == "up" else logging.WARNING
        self._out.note(
            level, f"backend {backend} is {standing} (was {was}) {self.fleet.unusable_reason(backend)}".rstrip()
        )
        self.mover.arrange()
        self.books.door.part_with_all(backend)
        if standing == "out":
            self.ejections[backend] += 1
        if "out" in (was, standing):  # others may have moved its users meanwhile, so they are looked up in any case
            for user in self.roster.at.get(backend, {}).values():
                user.looking = 0.0
                spread = 0.0 if standing == "out" and self._logs_in(user, backend) else self.settings.kick_spread
                self.books.look_again(user, self._out.now + self._random() * spread)

    def _logs_in(self, user: User, backend: str) -> bool:
        """Whether a lease is younger than the failure: a login that waits for an answer is not to wait for longer."""
        health = self.settings.health
        since = self._out.now - health.every - (health.failures_to_down + 1) * health.timeout
        return any(
            lease.backend == backend and lease.granted is not None and lease.granted > since
            for lease in user.leases.values()
        )

    # What is to be done.

    def _backends(self) -> list[Backend]:
        return [backend for shard in self.fleet.shards.all for backend in shard.backends]

    def _catalogue(self) -> Catalogue:
        return Catalogue([Place(backend.name, backend.host, dict(backend.ports)) for backend in self._backends()])

    def _take(self) -> Sequence[Action]:
        """Everything that is to be done now."""
        unsettled = self._out.unsettled
        while unsettled:
            self.books.settle(self.roster.user(unsettled.popleft(), known=False))
        return self._out.take(others=len(self.nodes.living) > 1)
