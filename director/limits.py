"""How much one user, one address, or one user from one address may have, and how long who failed has to wait.

Three things are bounded: live sessions, new connections of an address (a token bucket), and the pace of failed logins.
An IPv4 address stands for itself, also when it is written inside IPv6; an IPv6 address stands for its /64, which is
what one customer gets (RFC 6177 section 2). Clients in `exempt` networks are neither limited nor counted.

Failed logins are counted for the pair of user and address. What fails for the first time from there also counts for
the user and for the address, so the old telephone with the old password delays only itself, but neither who tries many
users from one address nor who tries one user from many gets far. Who has logged in from an address before waits there
for their own failures only: nobody is locked out by strangers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from director.penalties import Penalties, Subject
from director.recent import Recent

Network: TypeAlias = IPv4Network | IPv6Network

Limit: TypeAlias = Literal["", "connections", "user", "address", "pair", "penalty"]
"""What stands against it: new connections per second; sessions of the user, the address, the pair; failed logins."""

_PLACES: Final = 16_384
"""So many addresses are remembered with what they stand for: parsing one costs more than all the rest."""

_ROUNDING: Final = 1e-6
"""Seconds by which sums of floats may be wrong."""

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[director.limits]`: what one user and one address may have, so that nobody takes what others need."""

    sessions_per_user: int = field(
        default=100,
        metadata={
            "doc": "Most sessions of a user at once, from everywhere; 0: any number.",
            "min": 0,
            "max": 1_000_000,
        },
    )
    sessions_per_address: int = field(
        default=1000,
        metadata={
            "doc": "Most sessions of an address at once, of all users behind it; 0: any number.",
            "min": 0,
            "max": 10_000_000,
        },
    )
    sessions_per_pair: int = field(
        default=30,
        metadata={
            "doc": "Most sessions of a user from one address at once; 0: any number. One mail program takes 5 to 10.",
            "min": 0,
            "max": 1_000_000,
        },
    )
    connections_per_second: float = field(
        default=20.0,
        metadata={"doc": "New connections per second and address, for ever; 0: any number.", "min": 0, "max": 100_000},
    )
    connections_burst: int = field(
        default=200,
        metadata={"doc": "New connections of an address that may come at once.", "min": 1, "max": 1_000_000},
    )
    failures_free: int = field(
        default=3,
        metadata={"doc": "So many failed logins are forgiven before anybody has to wait.", "min": 0, "max": 100},
    )
    penalty: float = field(
        default=2.0,
        metadata={
            "doc": "Wait after the first failed login that is not forgiven; each further one doubles it. 0: no waits.",
            "unit": "s",
            "min": 0,
            "max": 60,
        },
    )
    penalty_most: float = field(
        default=15.0,
        metadata={
            "doc": "Longest wait after failed logins; mail programs give up after 30 s or more.",
            "unit": "s",
            "min": 0,
            "max": 3600,
        },
    )
    penalty_decay: float = field(
        default=60.0,
        metadata={
            "doc": "Each time this has passed, one failed login is forgotten.",
            "unit": "s",
            "min": 1,
            "max": 86400,
        },
    )
    exempt: tuple[Network, ...] = field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        metadata={"doc": "Networks that are neither limited nor counted, such as those of webmail servers."},
    )
    max_remembered: int = field(
        default=50_000,
        metadata={
            "doc": "Most users, addresses and pairs remembered for rates and failures, about 1,300 bytes for one "
            "of each; then the oldest is forgotten.",
            "min": 1,
            "max": 10_000_000,
        },
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if self.penalty_most < self.penalty:
            yield "penalty_most", f"is less than penalty, {self.penalty:g} s; give at least that"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may be, and if not, which `limit` stands against it.

    For sessions, `count` are there and `most` may be. `wait` is after how many seconds another try makes sense; 0 if
    nobody can know.
    """

    limit: Limit = ""
    count: int = 0
    most: int = 0
    wait: float = 0.0

    @property
    def allowed(self) -> bool:
        """Whether nothing stands against it."""
        return not self.limit

    @property
    def text(self) -> str:
        """Which limit and count it is, for the log; "" if it is allowed."""
        return _TEXTS[self.limit].format(self)


_TEXTS: Final[dict[Limit, str]] = {
    "": "",
    "connections": "too many new connections from the address, one may come in {0.wait:.1f} s",
    "user": "the user has {0.count} sessions, {0.most} may be (sessions_per_user)",
    "address": "the address has {0.count} sessions, {0.most} may be (sessions_per_address)",
    "pair": "the user has {0.count} sessions from the address, {0.most} may be (sessions_per_pair)",
    "penalty": "after failed logins, another try in {0.wait:.1f} s",
}


ALLOWED: Final = Verdict()


class Tally(NamedTuple):
    """Live sessions of a user, of an address, and of that user from that address."""

    user: int = 0
    address: int = 0
    pair: int = 0


NOWHERE: Final = Tally()


@lru_cache(_PLACES)
def place(address: str) -> str:
    """Return what an address counts as: an IPv4 address as itself, an IPv6 address as its /64. What is no address, and
    what this has returned, counts as itself."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed) if parsed else address


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped) or parsed


class Limits:
    """What lives, and what was tried, on this node. `now` is in seconds and does not go backwards.

    Users are canonical names, whose length is limited elsewhere. Memory: what lives, plus at most `max_remembered`
    addresses, users and pairs with their failures.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._most = Tally(settings.sessions_per_user, settings.sessions_per_address, settings.sessions_per_pair)
        self.place: Callable[[str], str] = lru_cache(_PLACES)(self._find_place)
        """What an address counts as, "" if it is in an exempt network; else see `place`."""
        self._sessions = _Sessions()
        self._buckets = Buckets(settings.connections_per_second, settings.connections_burst, settings.max_remembered)
        self._penalties = Penalties(
            free=settings.failures_free,
            first=settings.penalty,
            longest=settings.penalty_most,
            decay=settings.penalty_decay,
            most=settings.max_remembered,
        )

    def __len__(self) -> int:
        """How many sessions are counted."""
        return self._sessions.total

    # New connections

    def connect(self, address: str, now: float) -> Verdict:
        """Judge a new connection and count it if it may be."""
        place = self.place(address)
        if place and (wait := self._buckets.wait(place, now)):
            return Verdict("connections", wait=wait)
        if place:
            self._buckets.add(place, 1, now)
        return ALLOWED

    def connected(self, address: str, count: int, now: float) -> None:
        """Count connections that other nodes have taken."""
        if place := self.place(address):
            self._buckets.add(place, count, now)

    # Sessions

    def session(self, user: str, address: str, elsewhere: Tally = NOWHERE) -> Verdict:
        """Judge a session whose user has been recognised, and count it if it may be; `elsewhere` is what other nodes
        count. Exactly one `ended` follows each that was allowed, however it goes on."""
        place = self.place(address)
        if not place:
            return ALLOWED
        verdict = self._judge(self._sessions.tally(user, place), elsewhere)
        if verdict is ALLOWED:
            self._sessions.add(user, place)
        return verdict

    def resumed(self, user: str, address: str) -> None:
        """Count a session that lives already, such as one announced by a worker; it is not judged."""
        if place := self.place(address):
            self._sessions.add(user, place)

    def ended(self, user: str, address: str) -> None:
        """A session is over. Does no harm when none is counted."""
        self._sessions.remove(user, self.place(address))

    def tally(self, user: str, address: str) -> Tally:
        """Return what is counted here, for this user and this address."""
        return self._sessions.tally(user, self.place(address))

    def count(self, subject: Subject) -> int:
        """Return the sessions of a user, an address or a pair."""
        return self._sessions.count(subject)

    def most(self, subject: Subject) -> int:
        """Return how many sessions that may be; 0: any number."""
        user, place = subject
        return (self._most.pair if place else self._most.user) if user else self._most.address

    def crowded(self, least: Tally) -> list[Subject]:
        """Return the users, addresses and pairs that have at least so many sessions; it looks at all."""
        return self._sessions.crowded(least)

    # Failed logins

    def attempt(self, name: str, address: str, now: float) -> float:
        """Return the seconds until this name may be tried from there; 0: now, and then that is an attempt.

        Whoever has to wait should do so holding nothing but the connection, and ask again: while there is a penalty,
        one attempt at a time is allowed.
        """
        place = self.place(address)
        wait = self._penalties.wait(name, place, now) if place else 0.0
        if place and not wait:
            self._penalties.attempt(name, place, now)
        return wait

    def failed(self, name: str, address: str, now: float) -> float:
        """The name or the password was wrong; return the seconds until this name may be tried again from there.

        Whoever tells the client should wait as long. Failures seen by other nodes may be told as well.
        """
        place = self.place(address)
        return self._penalties.failed(name, place, now) if place else 0.0

    def succeeded(self, name: str, address: str) -> bool:
        """The password was right: the failures of this pair are forgotten, and strangers' no longer concern it.

        Return whether that was news."""
        place = self.place(address)
        return bool(place) and self._penalties.succeeded(name, place)

    def wait(self, name: str, address: str, now: float) -> float:
        """Return the seconds until this name may be tried again from there; nothing changes."""
        place = self.place(address)
        return self._penalties.wait(name, place, now) if place else 0.0

    def unrest(self, name: str, address: str, now: float) -> list[tuple[Subject, float]]:
        """Return who has to be asked about before each attempt, of this pair, this name and this address, and for how
        many seconds, if nothing more happens."""
        place = self.place(address)
        return self._penalties.unrest(name, place, now) if place else []

    def failures(self, subject: Subject, now: float) -> tuple[float, float]:
        """Return the failures that are not forgotten, and the seconds to wait for this subject's own."""
        return self._penalties.failures(subject, now)

    def failing(self) -> list[Subject]:
        """Return whose failures are remembered."""
        return self._penalties.subjects()

    # All of it

    def concerns(self, target: str) -> Callable[[Subject], bool]:
        """Return a test of whether something is about a user or an address; "": about anybody."""
        place = self.place(target)
        if not target:
            return lambda subject: True
        return lambda subject: subject[0] == target or (subject[1] == place != "")

    def subjects(self, target: str) -> list[Subject]:
        """Return the users, addresses and pairs known that have to do with a user or an address."""
        known = (*self._sessions.of(target, self.place(target)), *self._penalties.subjects())
        return list(filter(self.concerns(target), dict.fromkeys(known)))

    def forgive(self, target: str) -> None:
        """Forget failures and connections of a user or an address; "": of all. Who has logged in before stays known."""
        concerned = self.concerns(target)
        self._penalties.forgive(concerned)
        self._buckets.forget(place for place in self._buckets.places() if concerned(("", place)))

    def sweep(self, now: float) -> None:
        """Forget some of what no longer matters. Done ten times a second, it keeps up with anything."""
        self._buckets.sweep(now)
        self._penalties.sweep(now)

    def _find_place(self, address: str) -> str:
        parsed = _parsed(address)
        exempt = parsed is not None and any(parsed in network for network in self._settings.exempt)
        return "" if exempt else place(address)

    def _judge(self, here: Tally, elsewhere: Tally) -> Verdict:
        most = self._most
        if 0 < most.pair <= (count := here.pair + elsewhere.pair):
            return Verdict("pair", count, most.pair)
        if 0 < most.user <= (count := here.user + elsewhere.user):
            return Verdict("user", count, most.user)
        if 0 < most.address <= (count := here.address + elsewhere.address):
            return Verdict("address", count, most.address)
        return ALLOWED


class Buckets:
    """A bucket of `burst` tokens for each of the `most` latest addresses, filled with `rate` a second (0: no limit)."""

    def __init__(self, rate: float, burst: int, most: int) -> None:
        self._rate, self._burst = rate, burst
        self._due: Recent[str, float] = Recent(most)
        """When an address will have used up all its connections at their even pace (ITU-T I.371, GCRA)."""

    def __len__(self) -> int:
        return len(self._due)

    def places(self) -> list[str]:
        """Return the addresses that are remembered."""
        return list(self._due)

    def wait(self, place: str, now: float) -> float:
        """Return the seconds until there is a token, 0 if there is one."""
        if not self._rate:
            return 0.0
        wait = self._due.get(place, now) - now - (self._burst - 1) / self._rate
        return wait if wait > _ROUNDING else 0.0

    def add(self, place: str, count: int, now: float) -> None:
        """Take tokens, also such as are not there, up to those of the next second."""
        if self._rate:
            due = max(now, self._due.get(place, now)) + count / self._rate
            self._due.keep(place, min(due, now + self._burst / self._rate + 1.0))

    def forget(self, places: Iterable[str]) -> None:
        """Fill buckets."""
        for place in list(places):
            del self._due[place]

    def sweep(self, now: float) -> None:
        """Forget some of those that are full."""
        self._due.sweep(lambda _, due: due <= now)


class _Sessions:
    """Live sessions by pair, with the sums by user and by address. What has none is not in memory."""

    def __init__(self) -> None:
        self.total = 0
        self._pairs: dict[Subject, int] = {}
        self._users: dict[str, int] = {}
        self._places: dict[str, int] = {}

    def tally(self, user: str, place: str) -> Tally:
        return Tally(self._users.get(user, 0), self._places.get(place, 0), self._pairs.get((user, place), 0))

    def count(self, subject: Subject) -> int:
        user, place = subject
        if user and place:
            return self._pairs.get(subject, 0)
        return self._users.get(user, 0) if user else self._places.get(place, 0)

    def crowded(self, least: Tally) -> list[Subject]:
        return [
            *[(user, "") for user, count in self._users.items() if count >= least.user],
            *[("", place) for place, count in self._places.items() if count >= least.address],
            *[pair for pair, count in self._pairs.items() if count >= least.pair],
        ]

    def of(self, user: str, place: str) -> list[Subject]:
        return [
            *((user, "") for user in (user,) if user in self._users),
            *(("", place) for place in (place,) if place in self._places),
            *(pair for pair in self._pairs if pair[0] == user or pair[1] == place),
        ]

    def add(self, user: str, place: str) -> None:
        self.total += 1
        _put(self._pairs, (user, place))
        _put(self._users, user)
        _put(self._places, place)

    def remove(self, user: str, place: str) -> None:
        """Pairs decide whether there is anything to remove, so that the sums cannot drift away from them."""
        if (user, place) in self._pairs:
            self.total -= 1
            _take(self._pairs, (user, place))
            _take(self._users, user)
            _take(self._places, place)


def _put(counts: dict[_K, int], key: _K) -> None:
    counts[key] = counts.get(key, 0) + 1


def _take(counts: dict[_K, int], key: _K) -> None:
    if (count := counts[key]) > 1:
        counts[key] = count - 1
    else:
        del counts[key]
