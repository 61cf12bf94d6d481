"""How many sessions of a user, an address or a pair the other nodes have: counters in the store with a share per node.

A node tells its share of a counter from the moment that it has `threshold` sessions or more, whenever that changes, and
learns the others' in the answer. Below, it neither tells nor asks: a user with a few sessions costs nothing. A share
is told again every `REFRESH` seconds, so that it outlives `TTL`, an emptied store, and answers that were lost; one that
has sunk to half the threshold is taken back. There is one question about a counter at a time, since of two the first
might come last, and no more than one in `PACE` seconds.

The store forgets a counter, not a share: one that its node no longer knows of, because its director was replaced, stays
for as long as others tell theirs. So what is told has a stamp that changes each time, and a share that has looked the
same for `TTL` seconds does not count, nor does that of a node that is dead.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

from director.actions import Count
from director.limits import NOWHERE, LimitSettings, Tally
from director.penalties import Subject

TTL: Final = 60.0
"""Seconds for which the store keeps a counter after any share was told."""

REFRESH: Final = 15.0
"""Seconds after which a share is told again."""

PATIENCE: Final = 5.0
"""Seconds after which a question that was not answered no longer keeps another one from being asked."""

PACE: Final = 0.1
"""Seconds between two questions about the same counter."""

MOST_COUNTS: Final = 500
"""Questions in one tick."""

STAMPS: Final = 1024
"""A share is told as so many times the sessions, plus a stamp."""

NEVER: Final = 1 << 62
"""A threshold that nobody reaches."""


class _Share:
    """What this node has told of a counter, and what it knows of the others' shares."""

    __slots__ = ("at", "elsewhere", "key", "known_at", "open", "others", "stamp", "told")

    def __init__(self, key: str) -> None:
        self.key = key
        self.told = 0
        self.at = self.known_at = float("-inf")
        self.open = False
        self.stamp = 0
        self.others: dict[str, tuple[int, float]] = {}
        self.elsewhere = 0

    def asked(self, now: float) -> bool:
        """Whether an answer is still to come."""
        return self.open and now < self.at + PATIENCE


class Shares:
    """The counters that this node takes part in: at most `max_remembered`; further ones are not told to others.

    `count` says how many sessions a subject has here. `now` is in seconds and does not go backwards.
    """

    def __init__(self, settings: LimitSettings, count: Callable[[Subject], int]) -> None:
        self._limits = Tally(settings.sessions_per_user, settings.sessions_per_address, settings.sessions_per_pair)
        self._room = settings.max_remembered
        self._count = count
        self.others: frozenset[str] = frozenset()
        """The other nodes that live."""
        self._shares: OrderedDict[Subject, _Share] = OrderedDict()
        """Those told longest ago come first."""
        self._subjects: dict[str, Subject] = {}
        self._again: dict[Subject, None] = {}
        """What the next tick looks at, in order."""
        self.thresholds = Tally(NEVER, NEVER, NEVER)
        """So many sessions of a user, an address, a pair make this node tell its share."""

    def __len__(self) -> int:
        """How many counters this node takes part in, or will look at."""
        return len(self._shares) + len(self._again)

    def nodes(self, others: Collection[str]) -> bool:
        """The other nodes that live. Return whether shares have to be told that were too small before: see `look`."""
        if others == self.others:
            return False
        self.others, before = frozenset(others), self.thresholds
        self.thresholds = Tally(*(threshold(limit, 1 + len(others)) for limit in self._limits))
        for share in self._shares.values():
            share.elsewhere = self._sum(share)
        return any(now < then for now, then in zip(self.thresholds, before, strict=True))

    def elsewhere(self, user: str, place: str) -> Tally:
        """Return the sessions of other nodes, as far as they are known."""
        shares = self._shares
        if not shares:
            return NOWHERE
        by_user, by_place, by_pair = shares.get((user, "")), shares.get(("", place)), shares.get((user, place))
        if by_user is by_place is by_pair is None:
            return NOWHERE
        return Tally(
            by_user.elsewhere if by_user else 0,
            by_place.elsewhere if by_place else 0,
            by_pair.elsewhere if by_pair else 0,
        )

    def known(self, subject: Subject) -> int:
        """Return the sessions of other nodes, 0 if this node does not ask."""
        share = self._shares.get(subject)
        return share.elsewhere if share else 0

    @property
    def alone(self) -> bool:
        """Whether there is nothing to tell to anybody."""
        return not self.others and not self._shares

    def changed(self, user: str, place: str, here: Tally, now: float) -> Sequence[Count]:
        """A session has begun or ended, and so many are there now: tell it, if that is of interest."""
        concerned = self._concerned(user, place, here)
        return [count for subject in concerned for count in self._consider(subject, now)] if concerned else ()

    def resumed(self, user: str, place: str, here: Tally) -> None:
        """The same, to be told by the next ticks."""
        self.look(self._concerned(user, place, here))

    def look(self, subjects: Iterable[Subject]) -> None:
        """Let the next ticks see whether there is something to tell of these."""
        self._again.update(dict.fromkeys(subjects))

    def counted(self, key: str, shares: Mapping[str, int], now: float) -> None:
        """The answer to a question."""
        subject = self._subjects.get(key)
        if subject is None:
            return
        share = self._shares[subject]
        share.open, share.known_at, before = False, now, share.others
        seen = ((node, value, before.get(node)) for node, value in shares.items())
        share.others = {node: known if known and known[0] == value else (value, now) for node, value, known in seen}
        share.elsewhere = self._sum(share)
        worth = self._worth(subject)
        if worth != share.told:
            self._again[subject] = None
        elif not worth:
            self._forget(subject)

    def tick(self, now: float) -> list[Count]:
        """Return what is to be told now."""
        counts: list[Count] = []
        for subject in list(islice(self._again, MOST_COUNTS)):
            del self._again[subject]
            counts += self._consider(subject, now)
        while len(counts) < MOST_COUNTS and self._shares:
            subject, share = next(iter(self._shares.items()))
            if share.at + REFRESH > now:
                break
            counts.append(self._tell(subject, share, now))
        return counts

    def _concerned(self, user: str, place: str, here: Tally) -> Sequence[Subject]:
        """Return which of the counters of a session this node takes part in, or should."""
        shares, (user_least, address_least, pair_least) = self._shares, self.thresholds
        concerned: list[Subject] = []
        if here.user >= user_least or (user, "") in shares:
            concerned.append((user, ""))
        if here.address >= address_least or ("", place) in shares:
            concerned.append(("", place))
        if here.pair >= pair_least or (user, place) in shares:
            concerned.append((user, place))
        return concerned

    def _consider(self, subject: Subject, now: float) -> Sequence[Count]:
        """Tell a share if it has changed and may be told now; see to it that it is told later if not."""
        share = self._shares.get(subject)
        if share is None:
            share = self._begin(subject)
        if share is None or share.told == self._worth(subject) or share.asked(now):
            return ()
        if now < share.at + PACE:
            self._again[subject] = None
            return ()
        return (self._tell(subject, share, now),)

    def _begin(self, subject: Subject) -> _Share | None:
        if self._count(subject) < self._threshold(subject) or len(self._shares) >= self._room:
            return None
        share = self._shares[subject] = _Share(key_of(subject))
        self._subjects[share.key] = subject
        return share

    def _tell(self, subject: Subject, share: _Share, now: float) -> Count:
        if share.known_at + TTL < now:
            share.others, share.elsewhere = {}, 0
        share.told, share.at, share.open = self._worth(subject), now, True
        share.stamp = (share.stamp + 1) % STAMPS
        self._shares.move_to_end(subject)
        return Count(share.key, share.told and share.told * STAMPS + share.stamp)

    def _forget(self, subject: Subject) -> None:
        self._again.pop(subject, None)
        del self._subjects[self._shares.pop(subject).key]

    def _worth(self, subject: Subject) -> int:
        """What is told of a counter that this node takes part in already."""
        count = self._count(subject)
        return count if 2 * count >= self._threshold(subject) else 0

    def _threshold(self, subject: Subject) -> int:
        user, place = subject
        least = self.thresholds
        return (least.pair if place else least.user) if user else least.address

    def _sum(self, share: _Share) -> int:
        living = (told for node, told in share.others.items() if node in self.others)
        return sum(value // STAMPS for value, since in living if share.known_at < since + TTL)


def threshold(limit: int, nodes: int) -> int:
    """Return how many sessions of a limit (0: none) a node has before it tells others, of whom there are `nodes` with
    itself. If all others stay just below that, `(nodes - 1) * threshold` are beyond the limit."""
    return max(1, limit // (2 * nodes)) if limit and nodes > 1 else NEVER


def key_of(subject: Subject) -> str:
    """Return the name of a counter: short, whatever strangers call themselves."""
    return blake2b("\0".join(subject).encode(), digest_size=15).hexdigest()
