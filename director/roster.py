"""Who has sessions on this node, or is about to: users, their leases, and those who wait for one."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final, Literal, NamedTuple, TypeAlias

from director.record import Record

Key: TypeAlias = tuple[str, int]
"""A lease: its worker, and the worker's number for it."""

_REMEMBERED: Final = 20_000
"""Users who come again as often as telephones do are spared a question to the store; about 400 bytes each."""

MOST_LINGERING: Final = 20_000
"""Users who have left and whose hold is kept for a moment; about 1 KB each. Whom there is no room for goes at once."""

Kicked: TypeAlias = Literal["", "quietly", "now"]
"""How a session has been told to end."""


class Lease:
    """A session's hold on its user's assignment, given by this node or announced by its worker."""

    __slots__ = (
        "address",
        "backend",
        "began",
        "epoch",
        "granted",
        "key",
        "kicked",
        "protocol",
        "reason",
        "session",
        "shard",
        "user",
    )

    def __init__(
        self,
        key: Key,
        user: str,
        backend: str,
        shard: str,
        epoch: int,
        address: str,
        protocol: str,
        session: str,
        began: float,
    ) -> None:
        self.key = key
        self.user = user
        self.backend = backend
        self.shard = shard
        self.epoch = epoch
        self.address = address
        self.protocol = protocol
        self.session = session
        self.began = began
        self.granted: float | None = None
        """When it was given, if that was by this director; soon after that it may still be a login."""
        self.kicked: Kicked = ""
        self.reason = ""
        """Why it has been told to end."""


class Waiter(NamedTuple):
    """A session that waits for a lease, since when; `failed` is the backend that has just not accepted it."""

    key: Key
    address: str
    protocol: str
    session: str
    since: float
    failed: str
    began: float


class User:
    """A user who has leases or waiters here, or whose record is being looked at.

    `record` is what the store has for the user, `raw` its stored form; `known` says whether we have reason to believe
    so. `asking` while an answer of the store is awaited; `wanted` is then what it was asked to write, `asked` the
    stored form of that.
    `lingers_until`: all sessions have ended, and the node's hold is kept until then (s) in case another begins; 0: not.
    `shard` and `preferred` are what the directory said last, if it was asked (`routed`); else `shard` is what the
    sessions or the record say.
    """

    __slots__ = (
        "asked",
        "asking",
        "asking_drained",
        "drained",
        "due",
        "known",
        "leases",
        "lingers_until",
        "looking",
        "name",
        "order",
        "preferred",
        "raw",
        "record",
        "rerouted",
        "routed",
        "shard",
        "split",
        "taken",
        "unsure",
        "waiters",
        "wanted",
        "why",
    )

    def __init__(self, name: str, *, known: bool) -> None:
        self.name = name
        self.shard = self.preferred = ""
        self.routed = False
        self.known = known
        self.record: Record | None = None
        self.raw: bytes | None = None
        self.asking = False
        self.wanted: Record | None = None
        self.asked: bytes | None = None
        self.leases: dict[Key, Lease] = {}
        self.waiters: dict[Key, Waiter] = {}
        self.order = ""
        """The step of a move that is to be taken: hold, release or undo."""
        self.taken = ""
        """The order that the last thought about the record was about."""
        self.rerouted = False
        """The directory says something new, and it has not been judged yet whether the user has to go elsewhere."""
        self.due = False
        """The backend is down, and the sessions there are to be closed now."""
        self.looking = 0.0
        """When to look at the record again, which others will change; 0: there is no need."""
        self.lingers_until = 0.0
        self.drained = self.asking_drained = False
        self.unsure = False
        """The record has been changed without the store."""
        self.why = "sticky"
        """Why the next session gets the backend that it gets."""
        self.split = False
        """There are sessions on two backends."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to remember the user for."""
        return not (self.leases or self.waiters or self.asking or self.order or self.rerouted or self.asking_drained)


class Roster:
    """All users of this node, by name, and their leases by backend and by worker."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.at: dict[str, dict[str, User]] = {}
        """Users with leases, by the backend of the lease."""
        self.sessions: Counter[str] = Counter()
        """Leases by backend."""
        self.where: dict[str, dict[int, User]] = {}
        """The user of each lease and each waiter, by worker and number."""
        self.waiting: dict[str, User] = {}
        """Users with waiters."""
        self.lingering: dict[str, User] = {}
        """Users who linger, the first to leave first."""
        self.recent: OrderedDict[str, tuple[bytes, Record]] = OrderedDict()
        """What the store has of users who have left, the last `_REMEMBERED`, the first to leave first."""
        self.split: set[str] = set()
        """Users with sessions on two backends."""
        self.unsure: set[str] = set()
        """Users whose record was changed without the store."""

    @property
    def present(self) -> int:
        """How many users there are, without those who have left and linger."""
        return len(self.users) - len(self.lingering)

    def has(self, name: str) -> bool:
        """Whether the user is there, and does not only linger."""
        return name in self.users and name not in self.lingering

    def user(self, name: str, *, known: bool) -> User:
        """Return the user, who is new if nobody has asked for them; `known`: a new one has nothing in the store."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name, known=known)
        return user

    def arriving(self, name: str, *, known: bool) -> User:
        """Return the user, as `user` does; of one who has left lately it is believed that nothing has changed since."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name, known=known)
            remembered = self.recent.pop(name, None)
            if remembered is not None:
                user.raw, user.record = remembered
                user.known = True
        return user

    def remember(self, user: User) -> None:
        """Keep what the store has of a user who leaves; a claim that rests on it is refused if it is wrong."""
        if user.raw is not None and user.record is not None:
            self.recent[user.name] = user.raw, user.record
            if len(self.recent) > _REMEMBERED:
                self.recent.popitem(last=False)

    def linger(self, user: User, until: float) -> bool:
        """Keep a user whose sessions have ended until then; return False if there is no room."""
        if len(self.lingering) >= MOST_LINGERING:
            return False
        user.lingers_until = until
        self.lingering[user.name] = user
        return True

    def stay(self, user: User) -> None:
        """A user lingers no more."""
        user.lingers_until = 0.0
        self.lingering.pop(user.name, None)

    def lingered(self, now: float, most: int) -> list[User]:
        """Return who has lingered long enough, not more than so many."""
        first = islice(self.lingering.values(), most)
        return list(takewhile(lambda user: user.lingers_until <= now, first))

    def add(self, user: User, lease: Lease) -> None:
        """Take note of a lease."""
        if user.lingers_until:
            self.stay(user)
        user.leases[lease.key] = lease
        self.where.setdefault(lease.key[0], {})[lease.key[1]] = user
        self.at.setdefault(lease.backend, {})[user.name] = user
        self.sessions[lease.backend] += 1

    def remove(self, user: User, key: Key) -> Lease | None:
        """Forget a lease, or a waiter; return the lease."""
        self.where.get(key[0], {}).pop(key[1], None)
        if user.waiters.pop(key, None) is not None and not user.waiters:
            self.waiting.pop(user.name, None)
        lease = user.leases.pop(key, None)
        if lease is not None:
            self.sessions[lease.backend] -= 1
            if not any(other.backend == lease.backend for other in user.leases.values()):
                del self.at[lease.backend][user.name]
        return lease

    def wait(self, user: User, waiter: Waiter) -> None:
        """Take note of a waiter."""
        if user.lingers_until:
            self.stay(user)
        user.waiters[waiter.key] = waiter
        self.waiting[user.name] = user
        self.where.setdefault(waiter.key[0], {})[waiter.key[1]] = user

    def find(self, key: Key) -> User | None:
        """Return the user of a lease or a waiter."""
        return self.where.get(key[0], {}).get(key[1])

    def of_worker(self, worker: str) -> list[tuple[User, Key]]:
        """Return all leases and waiters of a worker."""
        return [(user, (worker, number)) for number, user in self.where.get(worker, {}).items()]

    def leases(self) -> Iterator[Lease]:
        """Yield all leases, by user."""
        for user in self.users.values():
            yield from user.leases.values()

    def forget(self, user: User) -> None:
        """Take a user out who is idle."""
        self.users.pop(user.name, None)
        self.lingering.pop(user.name, None)
        self.split.discard(user.name)
        self.unsure.discard(user.name)

    def judge(self, user: User) -> None:
        """Find out whether the user has sessions on two backends, as far as this node can know."""
        record, leases = user.record, user.leases
        plain = record is not None and not user.split and len(leases) < 2
        if plain and all(lease.backend == record.backend for lease in leases.values()):  # type: ignore[union-attr]
            return
        places = {lease.backend for lease in leases.values()}
        if record is not None and places and any(hold.epoch == record.epoch for hold in record.holds):
            places.add(record.backend)
        user.split = len(places) > 1
        if user.split:
            self.split.add(user.name)
        else:
            self.split.discard(user.name)
