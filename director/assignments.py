"""Who is assigned where and holds which leases: bookkeeping without clock, loop or socket.

All sessions of a user share one assignment, which lasts while a lease lives and for a while after the last. It ends
early when its backend goes down, or when the user is found to belong to another shard; the leases that lived are then
revoked, so that no user ever holds leases on two backends that are not revoked.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from director.choice import Why, choose
from director.errors import NoBackend, NoRoom
from director.health import Health
from director.settings import DirectorSettings
from director.shards import Backend, Shard

_EXPIRED_PER_LOGIN: Final = 2
"""Each login adds at most one assignment: clearing away two keeps up without ever taking long."""


@dataclass(slots=True, eq=False)
class Lease:
    """A session's hold on its user's assignment.

    `shard` and `backend` are where, `why` is how that came about. `on_revoke` is told the reason when the session has
    to leave its backend; `revoked` says that this has happened. Leases are compared by identity.
    """

    user: str
    backend: Backend
    shard: str
    why: Why
    on_revoke: Callable[[str], None]
    revoked: bool = False


@dataclass(slots=True, eq=False)
class _Assignment:
    user: str
    shard: Shard
    backend: Backend
    leases: tuple[Lease, ...] = ()
    expires: float = 0.0
    """Counts while there are no leases."""


class Assignments:
    """All assignments, at most `max_assignments` of them.

    Each login and logout takes the same time however many there are; only a backend that goes down takes time for each
    user assigned to it. `now` is in seconds and never goes backwards.
    """

    def __init__(self, settings: DirectorSettings) -> None:
        self.health: Final = Health(settings.failures_to_down, settings.retry_down_after)
        self._stay = settings.stay
        self._limit = settings.max_assignments
        self._by_user: dict[str, _Assignment] = {}
        self._by_backend: defaultdict[str, dict[str, _Assignment]] = defaultdict(dict)
        self._idle: OrderedDict[str, _Assignment] = OrderedDict()
        """Those without leases, the first to expire first. A plain dict gets slow when emptied from the front."""

    def __len__(self) -> int:
        """How many users have an assignment."""
        return len(self._by_user)

    def choice(self, user: str, shard: Shard, preferred: str, now: float) -> tuple[Backend, Why] | None:
        """Return the backend that `assign` would give and why, None if it would raise NoBackend. Nothing changes."""
        held = self._by_user.get(user)
        if held is not None and held.shard is shard and self._is_kept(held, now):
            return held.backend, "sticky"
        return choose(user, shard, preferred, self.health.usable(shard, now))

    def assign(
        self, user: str, shard: Shard, preferred: str, now: float, on_revoke: Callable[[str], None]
    ) -> tuple[Lease, Sequence[Lease]]:
        """Return a lease for a session of the user, and the user's older leases that this revokes, usually none.

        The user stays on the backend of an unexpired assignment that is in `shard` and usable, whatever `preferred`
        says; else `choose` decides. Older leases are revoked when they are in another shard. Beyond the limit, the
        user who has been without lease for longest is forgotten. Raises NoBackend when no backend of the shard is up
        or due for a trial, NoRoom when the limit is reached by users with leases; older leases then stay as they are.
        """
        self.expire(now, _EXPIRED_PER_LOGIN)
        chosen = self.choice(user, shard, preferred, now)
        if chosen is None:
            raise NoBackend(shard.name)
        backend, why = chosen
        revoked = () if why == "sticky" else self._settle(user, shard, backend)
        self.health.use(backend.name, now)
        self._idle.pop(user, None)
        lease = Lease(user, backend, shard.name, why, on_revoke)
        self._by_user[user].leases += (lease,)
        return lease, revoked

    def release(self, lease: Lease, now: float) -> None:
        """End a lease; the assignment stays for `stay` seconds after the last. Released or revoked ones do no harm."""
        held = self._by_user.get(lease.user)
        if held is None or lease not in held.leases:
            return
        held.leases = tuple(other for other in held.leases if other is not lease)
        if not held.leases:
            held.expires = now + self._stay
            self._idle[lease.user] = held

    def report(self, backend: str, ok: bool, now: float) -> list[Lease]:
        """Take note of how connecting to the backend of this name went; return the leases that this revokes.

        When the backend goes down, or was tried in vain, assignments with leases end. Those without are left: they
        count again if the backend is back before they expire and before their users come.
        """
        if not self.health.report(backend, ok, now):
            return []
        live = [held for held in self._by_backend[backend].values() if held.leases]
        return [lease for held in live for lease in self._end(held)]

    def expire(self, now: float, at_most: int | None = None) -> None:
        """Forget assignments whose time has come, the oldest first; all of them, or `at_most` so many."""
        while self._idle and at_most != 0:
            oldest = next(iter(self._idle.values()))
            if now < oldest.expires:
                return
            self._end(oldest)
            at_most = None if at_most is None else at_most - 1

    def _is_kept(self, held: _Assignment, now: float) -> bool:
        """Leases hold the user to a backend even during its trial: going down would have revoked them."""
        if held.leases:
            return True
        return now < held.expires and self.health.state(held.backend.name, now) != "down"

    def _settle(self, user: str, shard: Shard, backend: Backend) -> Sequence[Lease]:
        """Begin a new assignment in place of an old one, whose leases are returned as revoked."""
        held = self._by_user.get(user)
        if held is None:
            self._make_room()
        revoked = self._end(held) if held is not None else ()
        self._by_user[user] = assignment = _Assignment(user, shard, backend)
        self._by_backend[backend.name][user] = assignment
        return revoked

    def _make_room(self) -> None:
        if len(self._by_user) < self._limit:
            return
        if not self._idle:
            raise NoRoom(self._limit)
        self._end(next(iter(self._idle.values())))

    def _end(self, held: _Assignment) -> Sequence[Lease]:
        """Forget an assignment and revoke its leases."""
        del self._by_user[held.user]
        del self._by_backend[held.backend.name][held.user]
        self._idle.pop(held.user, None)
        for lease in held.leases:
            lease.revoked = True
        return held.leases
