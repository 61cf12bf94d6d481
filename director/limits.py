"""How much one user, one address, or one user from one address may have, and how long who failed has to wait.

Three things are bounded: live sessions, new connections of an address (a token bucket), and the pace of failed logins.
An IPv4 address stands for itself, also when it is written inside IPv6; an IPv6 address stands for its /64, which is
what one customer gets (RFC 6177 section 2). Clients in `exempt` networks are neither limited nor counted.

Failed logins are counted for the pair of user and address. What fails for the first time from there also counts for
the user and for the address, so the old telephone with the old password delays only itself, but neither who tries many
users from one address nor who tries one user from many gets far. Who has logged in from an address before waits there
for their own failures only: nobody is locked out by strangers.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import log2
from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

Network: TypeAlias = IPv4Network | IPv6Network

Limit: TypeAlias = Literal["", "connections", "user", "address", "pair", "penalty"]
"""What stands against it: new connections per second; sessions of the user, the address, the pair; failed logins."""

_PLACES: Final = 16_384
"""So many addresses are remembered with what they stand for: parsing one costs more than all the rest."""

_ROUNDING: Final = 1e-6
"""Seconds by which sums of floats may be wrong."""

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: what one user and one address may have, so that nobody takes what others need."""

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


ALLOWED: Final = Verdict()


class Tally(NamedTuple):
    """Live sessions of a user, of an address, and of that user from that address."""

    user: int = 0
    address: int = 0
    pair: int = 0


NOWHERE: Final = Tally()


class Limits:
    """What lives, and what was tried, on this node. `now` is in seconds and does not go backwards.

    Every login that was allowed is followed by exactly one `ended`, however it goes on: also when the password is
    wrong, no backend answers or the worker dies. Users are canonical names, whose length is limited elsewhere.
    Memory: what lives, plus at most `max_remembered` addresses, users and pairs with their failures.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._place = lru_cache(_PLACES)(self._find_place)
        self._sessions = _Sessions()
        self._next_due: _Recent[str, float] = _Recent(settings.max_remembered)
        """When an address will have used up all its connections at their even pace (ITU-T I.371, GCRA)."""
        self._penalties = _Penalties(settings)

    def __len__(self) -> int:
        """How many sessions are counted."""
        return self._sessions.total

    def connect(self, address: str, now: float) -> Verdict:
        """Judge a new connection and count it if it may be."""
        place, rate = self._place(address), self._settings.connections_per_second
        if not place or not rate:
            return ALLOWED
        due = max(now, self._next_due.get(place, now))
        wait = due - now - (self._settings.connections_burst - 1) / rate
        if wait > _ROUNDING:
            return Verdict("connections", wait=wait)
        self._next_due.keep(place, due + 1 / rate)
        return ALLOWED

    def login(self, user: str, address: str, now: float, elsewhere: Tally = NOWHERE) -> Verdict:
        """Judge an attempt to log in and count its session if it may be: before the password is looked at.

        `elsewhere` is what other nodes count. An attempt against which a penalty stands should wait, holding nothing
        but its connection, and be judged again: while there is a penalty, one attempt at a time is allowed.
        """
        place = self._place(address)
        if not place:
            return ALLOWED
        if wait := self._penalties.wait(user, place, now):
            return Verdict("penalty", wait=wait)
        verdict = self._judge(self._sessions.tally(user, place), elsewhere)
        if verdict.allowed:
            self._penalties.attempt(user, place, now)
            self._sessions.add(user, place)
        return verdict

    def resumed(self, user: str, address: str) -> None:
        """Count a session that lives already, such as one announced by a worker; it is not judged."""
        if place := self._place(address):
            self._sessions.add(user, place)

    def ended(self, user: str, address: str) -> None:
        """The session or the attempt is over. Does no harm when none is counted."""
        self._sessions.remove(user, self._place(address))

    def failed(self, user: str, address: str, now: float) -> float:
        """The name or the password was wrong; return the seconds until this user may try again from there.

        Whoever tells the client should wait as long. Failures seen by other nodes may be told as well.
        """
        place = self._place(address)
        return self._penalties.failed(user, place, now) if place else 0.0

    def succeeded(self, user: str, address: str) -> None:
        """The password was right: the failures of this pair are forgotten, and strangers' no longer concern it."""
        if place := self._place(address):
            self._penalties.succeeded(user, place)

    def wait(self, user: str, address: str, now: float) -> float:
        """Return the seconds until this user may try again from there; nothing changes."""
        place = self._place(address)
        return self._penalties.wait(user, place, now) if place else 0.0

    def tally(self, user: str, address: str) -> Tally:
        """Return what is counted here, for this user and this address."""
        return self._sessions.tally(user, self._place(address))

    def _judge(self, here: Tally, elsewhere: Tally) -> Verdict:
        settings = self._settings
        rows: tuple[tuple[Limit, int, int], ...] = (
            ("pair", here.pair + elsewhere.pair, settings.sessions_per_pair),
            ("user", here.user + elsewhere.user, settings.sessions_per_user),
            ("address", here.address + elsewhere.address, settings.sessions_per_address),
        )
        for limit, count, most in rows:
            if most and count >= most:
                return Verdict(limit, count, most)
        return ALLOWED

    def _find_place(self, address: str) -> str:
        """What the address is counted as; "" when it is exempt. What is no address is counted as it is."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return address
        if isinstance(parsed, IPv6Address):
            parsed = parsed.ipv4_mapped or parsed
        if any(parsed in network for network in self._settings.exempt):
            return ""
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)) if isinstance(parsed, IPv6Address) else parsed)


class _Sessions:
    """Live sessions by pair, with the sums by user and by address. What has none is not in memory."""

    def __init__(self) -> None:
        self.total = 0
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._users: Counter[str] = Counter()
        self._places: Counter[str] = Counter()

    def tally(self, user: str, place: str) -> Tally:
        return Tally(self._users[user], self._places[place], self._pairs[user, place])

    def add(self, user: str, place: str) -> None:
        self.total += 1
        self._pairs[user, place] += 1
        self._users[user] += 1
        self._places[place] += 1

    def remove(self, user: str, place: str) -> None:
        """Pairs decide whether there is anything to remove, so that the sums cannot drift away from them."""
        if (user, place) in self._pairs:
            self.total -= 1
            _take(self._pairs, (user, place))
            _take(self._users, user)
            _take(self._places, place)


def _take(counts: Counter[_K], key: _K) -> None:
    if counts[key] > 1:
        counts[key] -= 1
    else:
        del counts[key]


class _Recent(OrderedDict[_K, _V]):
    """A mapping that keeps `most` keys: those written last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def keep(self, key: _K, value: _V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)


class _Penalties:
    """Failures of pairs, users and addresses, and which pairs have logged in before."""

    def __init__(self, settings: LimitSettings) -> None:
        self._pairs: _Failures[tuple[str, str]] = _Failures(settings)
        self._users: _Failures[str] = _Failures(settings)
        self._places: _Failures[str] = _Failures(settings)
        self._known: _Recent[tuple[str, str], None] = _Recent(settings.max_remembered)

    def wait(self, user: str, place: str, now: float) -> float:
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
        if not self._pairs.level((user, place), now) and (user, place) not in self._known:
            self._users.add(user, now)
            self._places.add(place, now)
        self._pairs.add((user, place), now)
        return self.wait(user, place, now)

    def succeeded(self, user: str, place: str) -> None:
        self._pairs.forget((user, place))
        self._known.keep((user, place), None)


class _Failure(NamedTuple):
    level: float
    at: float
    until: float


class _Failures(Generic[_K]):
    """A level per key: grows by one with each failure, up to where the wait is longest, and sinks with time."""

    def __init__(self, settings: LimitSettings) -> None:
        self._free, self._first = settings.failures_free, settings.penalty
        self._longest, self._decay = settings.penalty_most, settings.penalty_decay
        self._top = self._free + 1 + (log2(self._longest / self._first) if self._first else 0.0)
        self._failures: _Recent[_K, _Failure] = _Recent(settings.max_remembered)

    def level(self, key: _K, now: float) -> float:
        """The failures that are not forgotten, a fraction while one is being forgotten."""
        failure = self._failures.get(key)
        return max(0.0, failure.level - (now - failure.at) / self._decay) if failure else 0.0

    def wait(self, key: _K, now: float) -> float:
        failure = self._failures.get(key)
        return max(0.0, failure.until - now) if failure else 0.0

    def add(self, key: _K, now: float) -> None:
        self._keep(key, min(self._top, self.level(key, now) + 1), now)

    def attempt(self, key: _K, now: float) -> None:
        """Begin the wait anew, without a failure."""
        if level := self.level(key, now):
            self._keep(key, level, now)

    def forget(self, key: _K) -> None:
        self._failures.pop(key, None)

    def _keep(self, key: _K, level: float, now: float) -> None:
        delay = min(self._longest, self._first * 2 ** (level - self._free - 1)) if level > self._free else 0.0
        self._failures.keep(key, _Failure(level, now, now + max(delay, self.wait(key, now))))
