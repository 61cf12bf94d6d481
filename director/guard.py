"""What the director of a node knows about limits: its own sessions and failures, and what other nodes say of theirs.

On one node everything is exact, over all its workers. With others it is as good as this, and nothing is refused
because a node or the store does not answer:

* **Sessions** (`director/shares.py`): a node tells the store how many it has of a user, an address or a pair once that
  is `limit // (2 * nodes)` or more. So at most `(nodes - 1) * limit // (2 * nodes)` are there beyond the limit, less
  than half of it (one for each other node, where a limit is smaller than twice their number), and what began within a
  tenth of a second and the store's answer. While the store is away, each node counts its own: `limit` on each.
* **Failed logins** are told to all nodes ten times a second, and count there as if they had been seen there. A message
  that is lost is not repeated: the others are as strict as what they know. "One attempt at a time" is per node.
* **New connections** of an address that come at more than its rate divided by the nodes are told in the same way, and
  taken from the others' buckets. So what an address may do on all nodes together is its rate, and at most another
  burst; a balancer that sends an address to one node takes nothing from it.

Memory: what lives, and `max_remembered` of each kind.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from logging import WARNING
from typing import Final, Literal, TypeAlias

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

from director.actions import Action, Note, Publish, Send
from director.limits import Buckets, Limit, Limits, LimitSettings, Tally, Verdict
from director.penalties import Subject
from director.recent import Recent
from director.shares import NEVER, Shares
from director.store import MAX_MESSAGE
from director.wire import Attempt, Connected, Embargo, Failed, Passed, ToWorker, Wait, Wary

MARK: Final = b"limits\0"
"""How every message of a guard to other nodes begins."""

Said: TypeAlias = Connected | Attempt | Failed | Passed
"""What workers say that is about limits."""

_EMBARGO: Final = 1.0
"""Shortest embargo in seconds: what the workers are told is not worth it for less."""

_QUIET: Final = 60.0
"""An address whose last embargo ended less than so many seconds ago is not put into the log again."""

_SPARE: Final = 30.0
"""Workers are wary for so many seconds more than they have to be, so that they need not be told as often."""

_MOST_NAME: Final = 255
"""Characters of a name or an address that count; nobody who exists has more."""

_MOST_NEWS: Final = 10_000
"""News that wait to be told; more are lost."""

_MOST_TIMES: Final = 200
"""Failures of the same pair in one message that count: nobody waits longer after more."""

_HEAD: Final = 1024
"""Bytes for what a message begins with."""

_What: TypeAlias = Literal["failed", "passed", "connected", "forgiven"]


class Guard:
    """Limits and penalties over the workers of a node, and over nodes. `now` is in seconds and never goes backwards.

    `node` is the name by which the store knows this node, in `Store.beat` and `Store.count`.
    """

    def __init__(self, node: str, settings: LimitSettings) -> None:
        self._node, self._settings = node, settings
        self._limits = Limits(settings)
        self._shares = Shares(settings, self._limits.count)
        self._news = _News(node)
        self._pace = self._pace_for(1)
        """What an address may do here before others are told of it."""
        self._workers: dict[str, None] = {}
        self._wary: Recent[Subject, float] = Recent(settings.max_remembered)
        """What the workers are wary of, until when."""
        self._embargoes: Recent[str, float] = Recent(settings.max_remembered)
        self._refusals: Counter[Limit] = Counter()

    def __len__(self) -> int:
        """How many sessions are counted."""
        return len(self._limits)

    @property
    def refusals(self) -> Mapping[Limit, int]:
        """How often each limit stood against something: sessions refused, embargoes laid, logins made to wait."""
        return self._refusals

    # Sessions

    def began(self, user: str, address: str, now: float) -> tuple[Verdict, Sequence[Action]]:
        """Judge a session whose user has been recognised, and count it if it may be. Exactly one `ended` follows each
        that was allowed. The verdict's `text` is for the log; its `limit` is "user", "address" or "pair"."""
        limits = self._limits
        verdict = limits.session(user, address, self._shares.elsewhere(user, limits.place(address)))
        if not verdict.limit:
            return verdict, self._changed(user, address, now)
        self._refusals[verdict.limit] += 1
        return verdict, ()

    def resumed(self, user: str, address: str) -> None:
        """Count a session that lives already, which a worker has announced; it is not judged. `ended` follows."""
        self._limits.resumed(user, address)
        self._limits.succeeded(user, address)
        if place := self._limits.place(address):
            self._shares.resumed(user, place, self._limits.tally(user, address))

    def ended(self, user: str, address: str, now: float) -> Sequence[Action]:
        """A session that was counted is over."""
        self._limits.ended(user, address)
        return self._changed(user, address, now)

    def _changed(self, user: str, address: str, now: float) -> Sequence[Action]:
        if self._shares.alone or not (place := self._limits.place(address)):
            return ()
        return self._shares.changed(user, place, self._limits.tally(user, address), now)

    # Workers

    def joined(self, worker: str, now: float) -> Sequence[Action]:
        """Tell a new worker what to be wary of."""
        self._workers[worker] = None
        words: list[ToWorker] = [Wary(*subject, until - now) for subject, until in self._wary.items() if until > now]
        words += [Embargo(place, until - now) for place, until in self._embargoes.items() if until > now]
        return [Send(worker, word) for word in words]

    def left(self, worker: str) -> None:
        """Forget a worker. Its sessions end by `ended`, each."""
        self._workers.pop(worker, None)

    def said(self, worker: str, message: Said, now: float) -> Sequence[Action]:
        """A worker has met somebody; what has to be answered is answered."""
        match message:
            case Connected(address):
                return self._connected(address[:_MOST_NAME], now)
            case Attempt(request, name, address):
                wait = self._limits.attempt(_bounded(name), address[:_MOST_NAME], now)
                self._refusals["penalty"] += wait > 0
                return (Send(worker, Wait(request, wait)),)
            case Failed(request, name, address):
                wait, others = self._failed(_bounded(name), address[:_MOST_NAME], now)
                return (Send(worker, Wait(request, wait)), *others)
        self._passed(_bounded(message.name), message.address[:_MOST_NAME])
        return ()

    def _connected(self, address: str, now: float) -> Sequence[Action]:
        place, verdict = self._limits.place(address), self._limits.connect(address, now)
        self._tell_pace(place, now)
        if verdict.allowed:
            return ()
        self._limits.connected(address, 1, now)  # the worker has let it in
        ended = self._embargoes.get(place, -_QUIET)
        if ended > now:
            return ()
        seconds = max(verdict.wait, _EMBARGO)
        self._refusals["connections"] += 1
        self._embargoes.keep(place, now + seconds)
        note = f"{place} connects more often than {self._settings.connections_per_second:g} times a second"
        told = [Note(WARNING, f"{note}: none is taken for a while")] if ended + _QUIET <= now else []
        return [*self._to_all(Embargo(place, seconds)), *told]

    def _tell_pace(self, place: str, now: float) -> None:
        if self._shares.others and place:
            self._pace.add(place, 1, now)
            if self._pace.wait(place, now):
                self._news.add("connected", "", place)

    def _failed(self, name: str, address: str, now: float) -> tuple[float, Sequence[Action]]:
        wait = self._limits.failed(name, address, now)
        if self._shares.others and (place := self._limits.place(address)):
            self._news.add("failed", name, place)
        return wait, self._warn(name, address, now)

    def _passed(self, name: str, address: str) -> None:
        if self._limits.succeeded(name, address) and self._shares.others:
            self._news.add("passed", name, self._limits.place(address))

    def _warn(self, name: str, address: str, now: float) -> Sequence[Action]:
        """Make the workers wary of those for whom a failure has consequences."""
        actions: list[Action] = []
        for subject, seconds in self._limits.unrest(name, address, now):
            if self._wary.get(subject, now) < now + seconds:
                self._wary.keep(subject, now + seconds + _SPARE)
                actions += self._to_all(Wary(*subject, seconds + _SPARE))
        return actions

    def _to_all(self, message: ToWorker) -> list[Send]:
        return [Send(worker, message) for worker in self._workers]

    # Other nodes

    def nodes(self, living: Collection[str]) -> None:
        """Which nodes live, this one included or not; tell it after each heartbeat. Until the first, it is alone.

        Names, not a number: a counter in the store outlives a dead node's share of it as long as others refresh it, so
        only the shares of the living count. When there are more nodes than before, it looks through all sessions."""
        others, before = frozenset(living) - {self._node}, self._shares.others
        if self._shares.nodes(others):
            self._shares.look(self._limits.crowded(self._shares.thresholds))
        if len(others) != len(before):
            self._pace = self._pace_for(1 + len(others))

    def heard(self, message: bytes, now: float) -> Sequence[Action]:
        """A message from any node, also from this one. What does not begin with MARK is none of ours, and what cannot
        be read is of another version: both are passed over."""
        if not message.startswith(MARK):
            return ()
        try:
            rumour = _decoder.decode(message[len(MARK) :])
        except DecodeError:
            return ()
        if rumour.node == self._node:
            return ()
        return [action for item in rumour.items for action in self._believe(item, now)]

    def counted(self, key: str, shares: Mapping[str, int], now: float) -> None:
        """The answer to `Count`; when there is none, it is asked again by itself."""
        self._shares.counted(key, shares, now)

    def tick(self, now: float) -> Sequence[Action]:
        """Tell other nodes what is new, and forget what is over: ten times a second."""
        self._limits.sweep(now)
        self._wary.sweep(lambda _, until: until <= now)
        self._embargoes.sweep(lambda _, until: until + _QUIET <= now)
        self._pace.sweep(now)
        message = self._news.taken()
        return [*self._shares.tick(now), *([Publish(message)] if message else [])]

    def _pace_for(self, nodes: int) -> Buckets:
        settings = self._settings
        burst = max(1, settings.connections_burst // nodes)
        return Buckets(settings.connections_per_second / nodes, burst, settings.max_remembered)

    def _believe(self, item: "_Item", now: float) -> Sequence[Action]:
        what, name, place, times = item.what, item.name, item.place, item.times
        if what == "forgiven":
            return self._lift(name)
        if what == "connected":
            self._limits.connected(place, max(0, times), now)
        elif what == "passed":
            self._limits.succeeded(name, place)
        else:
            for _ in range(min(times, _MOST_TIMES)):
                self._limits.failed(name, place, now)
            return self._warn(name, place, now)
        return ()

    # Operators

    def rows(self, target: str, now: float) -> list[dict[str, str | int | float]]:
        """What is counted and remembered of a user or an address; "": of all who have to wait, or have half of what
        they may have. It looks through everything: some tenths of a second for a million sessions.

        `user` and `address`: both for a pair, else one is "". `sessions` here and `elsewhere` (0 when not known),
        `most` (0: any number), `failures`, `wait` in seconds, `limit`: what stands against it now, "" for nothing,
        "exempt" for an address that has none."""
        if target and not self._limits.place(target):
            nothing = {"sessions": 0, "elsewhere": 0, "most": 0, "failures": 0.0, "wait": 0.0}
            return [{"user": "", "address": target, **nothing, "limit": "exempt"}]
        concerned, limits = self._limits.concerns(target), self._limits
        waiting = [("", place) for place, until in self._embargoes.items() if until > now]
        if target:
            subjects = {*limits.subjects(target), *filter(concerned, waiting)}
        else:
            waiting += [subject for subject in limits.failing() if limits.failures(subject, now)[1]]
            subjects = {*limits.crowded(_halves(self._settings)), *waiting}
        return [self._row(subject, now) for subject in sorted(subjects)]

    def _row(self, subject: Subject, now: float) -> dict[str, str | int | float]:
        limits, (user, place) = self._limits, subject
        sessions, elsewhere, most = limits.count(subject), self._shares.known(subject), limits.most(subject)
        failures, penalty = limits.failures(subject, now)
        embargo = 0.0 if user else max(0.0, self._embargoes.get(place, now) - now)
        kind = ("pair" if place else "user") if user else "address"
        full = 0 < most <= sessions + elsewhere
        return {
            "user": user,
            "address": place,
            "sessions": sessions,
            "elsewhere": elsewhere,
            "most": most,
            "failures": round(failures, 1),
            "wait": round(max(penalty, embargo), 1),
            "limit": "connections" if embargo else "penalty" if penalty else kind if full else "",
        }

    def forgive(self, target: str) -> Sequence[Action]:
        """Forget the failures of a user or an address, "": of all, and let it connect, on all nodes."""
        if self._shares.others:
            self._news.add("forgiven", target[:_MOST_NAME], "")
        return self._lift(target[:_MOST_NAME])

    def _lift(self, target: str) -> Sequence[Action]:
        concerned = self._limits.concerns(target)
        self._limits.forgive(target)
        wary = [subject for subject in self._wary if concerned(subject)]
        embargoes = [place for place in self._embargoes if concerned(("", place))]
        for subject in wary:
            del self._wary[subject]
        for place in embargoes:
            del self._embargoes[place]
        words: list[ToWorker] = [Wary(*subject, 0.0) for subject in wary]
        words += [Embargo(place, 0.0) for place in embargoes]
        return [send for word in words for send in self._to_all(word)]


class _Item(Struct, frozen=True, array_like=True, gc=False):
    """Something that happened to a name at an address, so many times."""

    what: _What
    name: str
    place: str
    times: int


class _Rumour(Struct, frozen=True, array_like=True, gc=False):
    """What a node tells the others."""

    node: str
    items: list[_Item]


_encoder: Final = Encoder()
_decoder: Final = Decoder(_Rumour)


class _News:
    """What other nodes are still to be told, each thing once with how often it happened."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._times: dict[tuple[_What, str, str], int] = {}

    def add(self, what: _What, name: str, place: str) -> None:
        key = what, name, place
        times = self._times.get(key, 0)
        if times or len(self._times) < _MOST_NEWS:
            self._times[key] = times + 1

    def taken(self) -> bytes:
        """Take as much as a message may have, the oldest first; b"" if there is nothing."""
        items, room = [], MAX_MESSAGE - _HEAD
        for (what, name, place), times in self._times.items():
            room -= 4 * (len(name) + len(place)) + 32
            if room < 0:
                break
            items.append(_Item(what, name, place, times))
        for item in items:
            del self._times[item.what, item.name, item.place]
        return MARK + _encoder.encode(_Rumour(self._node, items)) if items else b""


def _bounded(name: str) -> str:
    """Return what counts of a name that a stranger gives; "" would stand for everybody."""
    return name[:_MOST_NAME] or "?"


def _halves(settings: LimitSettings) -> Tally:
    limits = settings.sessions_per_user, settings.sessions_per_address, settings.sessions_per_pair
    return Tally(*((limit + 1) // 2 or NEVER for limit in limits))
