"""Short cuts for nearly all sessions: a user of whom nothing is in doubt comes, comes back, and leaves.

Each says whether it could be taken; `Books.settle`, which thinks about everything, would come to the same. Whose last
session has ended lingers: the node holds the user for a while longer, and who comes back finds everything as it was.
Nobody lingers any more once the user is thought about, because others want the user to move or for any other reason.
"""

from typing import Final, Protocol, cast

from director.actions import Swap
from director.fleet import Fleet
from director.mover import Mover
from director.nodes import Nodes
from director.outbox import Outbox
from director.record import Record, Stored, enter, leave
from director.roster import Key, Roster, User
from director.settings import DirectorSettings
from director.store import SWAPPED, Swapped
from director.wire import Assign
from director.workers import Workers

LINGER: Final = 5.0
"""Seconds for which a node goes on holding a user whose last session has ended. Telephones, POP3, and clients that open
their connections one after the other come back within that, and then nobody has to be asked. It is short beside the
time that anybody waits for users to leave; who wants the user to move need not wait for it at all."""

_GIVEN_UP: Final = 2000
"""Users given up at once who have not come back: ten times a second, that keeps up with anything."""


class NearStore(Protocol):
    """A store in this process, which answers at once."""

    def swap_now(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        """See Store.swap."""
        ...

    def read_now(self, user: str) -> bytes | None:
        """See Store.read."""
        ...


class Clerk(Protocol):
    """Who keeps the records (`Books`)."""

    def settle(self, user: User) -> None:
        """Do what is next for a user."""

    def find_out(self, user: User) -> bool:
        """Learn what the store has for a user; False: it has been asked."""

    def give(self, user: User, key: Key, message: Assign) -> None:
        """Grant a session a lease on the backend of the user's record."""


class Door:
    """See the module. `stay` is for how long the store keeps a user whom nobody holds (s)."""

    def __init__(
        self,
        life: str,
        settings: DirectorSettings,
        clerk: Clerk,
        roster: Roster,
        fleet: Fleet,
        nodes: Nodes,
        workers: Workers,
        mover: Mover,
        outbox: Outbox,
        *,
        near: NearStore | None,
        stay: float,
    ) -> None:
        self._life = life
        self._clerk = clerk
        self._roster = roster
        self._fleet = fleet
        self._nodes = nodes
        self._workers = workers
        self._mover = mover
        self._out = outbox
        self._near = near
        self._stay = stay
        self._linger = min(LINGER, settings.stay, settings.assign_wait / 4, settings.moves.move_timeout / 4)

    def join(self, user: User, key: Key, message: Assign) -> bool:
        """Grant a session what its user has on this node already, or what can be claimed at once."""
        if not user.known and self._near is not None and self._nodes.away_since is None:
            self._clerk.find_out(user)
        record = user.record
        if record is None or message.failed or not self.is_plain(user, record):
            return False
        if not record.held_by(self._life):
            if self._near is None or user.waiters or not self._may_enter(user, record):
                return False
            if not self._write(user, enter(record, cast(bytes, user.raw), self._life), None):
                return False
        elif user.lingers_until and not self._nodes.count_us(self._out.now):
            user.known = False
            return False
        self._clerk.give(user, key, message)
        return True

    def enter(self, user: User, failed: str) -> bool:
        """Claim for the first session of a user, who waits, what is known of the user."""
        record = user.record
        if record is None or failed or self._near is not None or len(user.waiters) > 1:
            return False
        if not self.is_plain(user, record) or not self._may_enter(user, record):
            return False
        return self._write(user, enter(record, cast(bytes, user.raw), self._life), None)

    def leave(self, user: User) -> bool:
        """Part with a user whose last session has ended: in a while, for many come back."""
        if not self._may_leave(user):
            return False
        if self._linger and self._roster.linger(user, self._out.now + self._linger):
            return True
        return self._give_up(user)

    def part(self, user: User) -> None:
        """Part with a user who lingers, now."""
        self._roster.stay(user)
        if not self._may_leave(user) or not self._give_up(user):
            self._clerk.settle(user)

    def part_with_the_late(self) -> None:
        """Part with those who have not come back."""
        for user in self._roster.lingered(self._out.now, _GIVEN_UP):
            self.part(user)

    def part_with_all(self, backend: str) -> None:
        """Part with all who linger on a backend, now: others may want to have them."""
        lingering = list(self._roster.lingering.values())
        for user in [user for user in lingering if user.record is not None and user.record.backend == backend]:
            self.part(user)

    def end_lingering(self) -> None:
        """Part with all who linger, now; from now on nobody does."""
        self._linger = 0.0
        for user in list(self._roster.lingering.values()):
            self.part(user)

    def _may_enter(self, user: User, record: Record) -> bool:
        """Whether the first session gets what a plain record says, which this node does not hold."""
        if user.leases or not self._fleet.is_in(record.backend, record.shard):
            return False
        if record.holds and self._life in record.holders:
            return False
        return not self._mover.is_moving(user.name)

    def _may_leave(self, user: User) -> bool:
        record = user.record
        if record is None or user.waiters or not self.is_plain(user, record):
            return False
        return record.held_by(self._life) and not self._mover.is_moving(user.name)

    def _give_up(self, user: User) -> bool:
        """Drop the hold on a user who may leave."""
        parted = leave(cast(Record, user.record), cast(bytes, user.raw), self._life)
        if not self._write(user, parted, None if parted.record.holds else self._stay):
            return False
        if not user.asking:
            self._roster.forget(user)
            self._roster.remember(user)
        return True

    def _write(self, user: User, stored: Stored, ttl: float | None) -> bool:
        """Have the store write a record that differs by our hold only; return False if it has something else."""
        if self._near is None:
            user.wanted, user.asked = stored
            user.asking = True
            self._out.do(Swap(user.name, user.raw, stored.raw, ttl))
            return True
        if self._near.swap_now(user.name, user.raw, stored.raw, ttl) is not SWAPPED:
            user.known = False
            return False
        user.record, user.raw = stored
        if user.name in self._mover.failback:
            self._mover.track_home(user)
        return True

    def is_plain(self, user: User, record: Record) -> bool:
        """Whether the record is what it should be, as far as the user's shard, the backend and other nodes say."""
        if record.target or user.asking or not user.known or user.split or user.order or user.rerouted:
            return False
        if self._nodes.away_since is not None or not self._workers.are_open or user.shard != record.shard:
            return False
        for node, _ in record.holds:
            if node != self._life and node in self._nodes:
                return False
        return self._fleet.grants(record.backend)
