"""Moves of users: by an operator's order, because the directory says so, and home again when a backend has returned."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from director import moves
from director.actions import AskGate, Scan
from director.choice import choose
from director.errors import DirectorError
from director.failback import Failback
from director.fleet import Fleet
from director.moves import Moves, Order
from director.nodes import Nodes
from director.outbox import Outbox
from director.record import Record
from director.roster import Roster, User
from director.settings import DirectorSettings
from director.settling import Target
from director.shards import Backend, Shard

DRAIN: Final = "drain "
_ROUTES: Final = "routes"
_ORDERS: Final = {moves.Hold: "hold", moves.KickOut: "kick", moves.Release: "release", moves.Undo: "undo"}


@dataclass(slots=True)
class Survey:
    """What a scan that an operator has ordered finds: how many users it is about, where they are going to be, and how
    many sessions they have on this node. `complete` is False when the store went away meanwhile."""

    job: str
    dry: bool
    done: bool = False
    complete: bool = False
    users: int = 0
    sessions: int = 0
    to: Counter[str] = field(default_factory=Counter)
    orders: list[Order] = field(default_factory=list)


class Mover:
    """Gives the orders for moves, which `Settling` carries out for each user, and hears what has become of them."""

    def __init__(self, settings: DirectorSettings, roster: Roster, fleet: Fleet, nodes: Nodes, outbox: Outbox) -> None:
        self.moves: Final = Moves(settings.moves)
        self.failback: Final = Failback(settings.failback)
        self.surveys: Final[dict[str, Survey]] = {}
        """What scans have found that operators ordered, by job."""
        self._roster = roster
        self._fleet = fleet
        self._nodes = nodes
        self._out = outbox
        self._gated = frozenset[str]()

    # Orders.

    def move(self, user: str, backend: Backend) -> None:
        """Move a user, who then stays there even if another backend is preferred."""
        known = self._roster.user(user, known=False)
        live = known.record is not None and bool(known.record.holds)
        self._start(
            f"move {user}", [Order(user, "", backend.name, live, pinned=True)]
        )  # who is there already, is pinned there
        self._out.unsettled.append(user)

    def drain(self, backend: str, *, dry: bool) -> str:
        """Find out who is on a backend, and move them to others unless it is `dry`; return the job."""
        job = f"{DRAIN}{backend}"
        self.survey(job, dry=dry)
        self._out.do(Scan(job, backend))
        return job

    def survey(self, job: str, *, dry: bool) -> Survey:
        """Begin to count whom a job is about."""
        survey = self.surveys[job] = Survey(job, dry=dry)
        return survey

    def found(self, job: str, name: str, record: Record) -> None:
        """Somebody is on a backend that is to be drained."""
        survey = self.surveys[job]
        shard = self._fleet.find_shard(record.shard)
        known = self._roster.users.get(name)
        preferred = "" if known is None else known.preferred
        leaving = job.removeprefix(DRAIN)
        chosen = None if shard is None else self._fleet.if_failed(name, shard, preferred, leaving, self._out.now)
        survey.users += 1
        survey.sessions += 0 if known is None else len(known.leases)
        survey.to["" if chosen is None else chosen[0].name] += 1
        if chosen is not None:
            survey.orders.append(Order(name, record.backend, chosen[0].name, bool(record.holds)))

    def surveyed(self, job: str, complete: bool) -> str:
        """Everybody has been found, or the store went away before; return a backend with users who cannot leave it."""
        survey = self.surveys.get(job)
        if survey is None:
            return ""
        survey.done, survey.complete = True, complete
        orders, survey.orders = survey.orders, []
        if orders and not survey.dry:
            self._start(job, orders)
        return job.removeprefix(DRAIN) if survey.to[""] and not survey.dry else ""

    def abort(self, job: str) -> None:
        """Let who has not been moved stay."""
        self._give(self.moves.abort(job, self._out.now))

    def reroute(self, user: User) -> None:
        """The directory has something new to say about a user whose record is known."""
        if not user.rerouted or self._nodes.away_since is not None:
            return
        user.rerouted = False
        record = user.record
        shard = self._fleet.find_shard(user.shard)
        if record is None or shard is None:
            return
        target = self._destination(user, shard, record)
        if target and target != (record.target or record.backend):
            self._start("routes", [Order(user.name, record.backend, target, bool(record.holds))])

    # Questions of Settling and of the books.

    def target(self, user: User) -> Target | None:
        """See Hands."""
        name = self.moves.target(user.name)
        shard = None if name is None else self._fleet.shards.find(name)
        if name is None or shard is None:
            return None
        return Target(name, shard.name, self.moves.is_pinned(user.name))

    def is_moving(self, user: str) -> bool:
        """Whether this node is moving the user."""
        return self.moves.target(user) is not None

    # News.

    def tell(self, user: User) -> None:
        """What has become of a user who is being moved."""
        target, record = self.moves.target(user.name), user.record
        if target is None or user.order:
            return
        if record is not None and not record.target and record.backend == target:
            self._give(self.moves.released(user.name, target, self._out.now))
            self.failback.done(user.name, True, self._out.now)
        elif record is not None and record.target == target:
            self._give(self.moves.held(user.name, target, True))
        else:
            self._end_move(user, target)

    def track_home(self, user: User) -> None:
        """Remember who is away from the backend that would be the right one if all were well."""
        record = user.record
        shard = None if record is None else self._fleet.find_shard(record.shard)
        if record is None or shard is None or len(shard.names) == 1:
            self.failback.back(user.name)
            return
        home = self._home(user, shard)
        if not home or record.target or record.pinned or home == record.backend:
            self.failback.back(user.name)
        else:
            self.failback.away(user.name, home, bool(record.holds))

    def tick(self) -> None:
        """Time has passed; while the store is away nobody is moved."""
        now = self._out.now
        self._give(self.moves.tick(now))
        for home in self.failback.ask(now):
            self._out.do(AskGate(home, now))
        self.hold_back()
        if self._nodes.away_since is None:
            self._send_home()

    def gate_said(self, home: str, synced: bool, asked_at: float) -> None:
        """The sync gate has answered."""
        self.failback.word(home, synced, asked_at)
        self.hold_back()

    def watch_gates(self, gated: Iterable[str]) -> None:
        """These backends have a sync gate."""
        self._gated = frozenset(gated)
        self.arrange()

    def hold_back(self) -> None:
        """Backends that have not caught up since they returned get no new users."""
        self._fleet.hold_back(self.failback.closed())

    def arrange(self) -> None:
        """Users return to backends that are up and online, and have caught up where a gate can tell."""
        shards = self._fleet.shards.all
        partners = {each.name: len(shard.names) > 1 for shard in shards for each in shard.backends}
        self.failback.homes({name: name in self._gated and has for name, has in partners.items()})
        for name in partners:
            if self._fleet.standing(name) == "up" and self._fleet.admin_state(name) == "online":
                self.failback.up(name, self._out.now)
            else:
                self.failback.down(name)

    # How it is done.

    def _home(self, user: User, shard: Shard) -> str:
        """The backend that would be the right one; what was known of it before, if the directory was not asked."""
        if not user.routed:
            return self.failback.home(user.name)
        chosen = choose(user.name, shard, user.preferred, shard.names)
        return "" if chosen is None else chosen[0].name

    def _start(self, job: str, orders: Iterable[Order]) -> None:
        if self._nodes.away_since is not None:
            self._out.note(logging.WARNING, f"{job}: not begun, for the store is away")
            return
        try:
            self._give(self.moves.start(job, orders, self._out.now))
        except DirectorError as error:
            self._out.note(logging.ERROR, f"{job}: {error}")

    def _destination(self, user: User, shard: Shard, record: Record) -> str:
        """Where the user belongs by what the directory says now; "" if that cannot be."""
        if record.backend in shard.names:
            first = shard.find(user.preferred) if user.preferred else None
            wished = first is not None and self._fleet.takes(first.name)
            return first.name if first is not None and wished else record.backend
        chosen = self._fleet.choose(user.name, shard, user.preferred, self._out.now)
        return "" if chosen is None else chosen[0].name

    def _give(self, orders: Iterable[moves.Action]) -> None:
        """Take orders for users, who are settled before the event is over."""
        for order in orders:
            user = self._roster.user(order.user, known=False)
            user.order = _ORDERS[type(order)]
            self._out.unsettled.append(order.user)

    def _end_move(self, user: User, target: str) -> None:
        self._give(self.moves.undone(user.name, self._out.now))
        if self.moves.target(user.name) is not None:
            text = self._fleet.unusable_reason(target) or "the move was ended by another"
            self._give(self.moves.refused(user.name, target, text, self._out.now))
        self.failback.done(user.name, False, self._out.now)

    def _send_home(self) -> None:
        for order in self.failback.due(self._out.now):
            known = self._roster.users.get(order.user)
            was = "" if known is None or known.record is None else known.record.backend
            self._start(f"failback to {order.home}", [Order(order.user, was, order.home, order.live)])
