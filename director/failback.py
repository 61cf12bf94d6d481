"""When users who are away from their preferred backend go back to it, and in which order.

A home is the backend that users prefer. It has to have been up for `failback_after`, and, where there is a sync gate,
the gate has to have said lately that it has caught up. Then those without sessions go first; when none of them is left,
those with sessions, in groups: the next begins when the last one is home.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal, TypeAlias

Phase: TypeAlias = Literal["down", "settling", "gate", "returning"]
"""down: the home is not up; settling: not up for long enough; gate: waits for its word; returning: users may go."""

ASK_EVERY: Final = 10.0
"""Seconds between two questions to a gate: dsync itself needs seconds to catch up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailbackSettings:
    """When and how users return to the backend they prefer."""

    failback_after: float = field(
        default=300.0,
        metadata={
            "doc": "A backend has to be up for so long before users return to it.",
            "unit": "s",
            "min": 0,
            "max": 604_800,
        },
    )
    word_lasts: float = field(
        default=30.0,
        metadata={
            "doc": "The sync gate's word that a backend has caught up counts for so long; then it is asked again.",
            "unit": "s",
            "min": 10,
            "max": 3600,
        },
    )
    group: int = field(
        default=100,
        metadata={"doc": "So many users return to a backend at once.", "min": 1, "max": 10_000},
    )
    again_after: float = field(
        default=60.0,
        metadata={
            "doc": "A user who could not be moved back is tried again after this time.",
            "unit": "s",
            "min": 1,
            "max": 86400,
        },
    )
    max_away: int = field(
        default=1_000_000,
        metadata={
            "doc": "Most users remembered as away; others return when they have been idle.",
            "min": 1,
            "max": 100_000_000,
        },
    )


@dataclass(frozen=True, slots=True)
class Return:
    """Order to move the user, who may have sessions (`live`), to the backend `home`."""

    user: str
    home: str
    live: bool


@dataclass(slots=True)
class _Home:
    gated: bool
    up_since: float = inf
    returned: bool = False
    """It has been down, so it lacks what its partners got meanwhile, until the gate says otherwise."""
    word_at: float = -inf
    """When the gate was asked for what it said last."""
    synced_at: float = -inf
    """The same if it said that all is well."""
    asked_at: float = -inf
    idle: OrderedDict[str, None] = field(default_factory=OrderedDict)
    live: OrderedDict[str, None] = field(default_factory=OrderedDict)
    later: OrderedDict[str, tuple[float, bool]] = field(default_factory=OrderedDict)
    """Who could not be moved: when to try again, and whether there are sessions."""
    on_the_way: dict[str, bool] = field(default_factory=dict)
    """Who is being moved, and whether there are sessions."""


class Failback:
    """Who is away from which home. `now` is in seconds and does not go backwards.

    Nothing here moves anybody: `due` says who is to be moved, and `done` has to be told what became of each of them.
    A user who is reported as away while being moved is not asked for twice.
    """

    def __init__(self, settings: FailbackSettings) -> None:
        self._settings = settings
        self._homes: dict[str, _Home] = {}
        self._away: dict[str, str] = {}
        """The home of everybody who is away."""

    def __len__(self) -> int:
        """How many users are away."""
        return len(self._away)

    def __contains__(self, user: object) -> bool:
        """Whether the user is away."""
        return user in self._away

    def home(self, user: str) -> str:
        """Return where the user belongs, "" for one who is not away."""
        return self._away.get(user, "")

    def count(self, home: str) -> int:
        """Return how many users are away from this home."""
        known = self._homes.get(home)
        if known is None:
            return 0
        return len(known.idle) + len(known.live) + len(known.later) + len(known.on_the_way)

    def homes(self, homes: dict[str, bool]) -> None:
        """These are all backends now, and whether a gate watches each; users who prefer others are forgotten."""
        for name in self._homes.keys() - homes.keys():
            for user in [user for user, home in self._away.items() if home == name]:
                self.back(user)
            del self._homes[name]
        for name, gated in homes.items():
            self._homes.setdefault(name, _Home(gated)).gated = gated

    def up(self, home: str, now: float) -> None:
        """The backend serves; that it still does so need not be told but may."""
        if known := self._homes.get(home):
            known.up_since = min(known.up_since, now)

    def down(self, home: str) -> None:
        """The backend does not serve, or not everybody: what it had caught up with no longer counts."""
        if known := self._homes.get(home):
            known.up_since = inf
            known.returned = True
            known.word_at = known.synced_at = known.asked_at = -inf

    def away(self, user: str, home: str, live: bool) -> bool:
        """The user is not at home and has sessions or not; tell again when that changes. False: there is no room.

        What is said last counts. A home that is not known is ignored.
        """
        known = self._homes.get(home)
        if known is None or (user not in self._away and len(self._away) >= self._settings.max_away):
            return False
        if self._away.get(user, home) != home:
            self.back(user)
        self._away[user] = home
        if user in known.on_the_way:
            known.on_the_way[user] = live
        elif user in known.later:
            known.later[user] = known.later[user][0], live
        else:
            self._queue(known, user, live)
        return True

    def back(self, user: str) -> None:
        """The user is at home, has another, or is forgotten."""
        home = self._away.pop(user, None)
        if home is not None:
            known = self._homes[home]
            for place in (known.idle, known.live, known.later, known.on_the_way):
                place.pop(user, None)

    def ask(self, now: float) -> tuple[str, ...]:
        """Return the homes whose gates are to be asked now: users wait for them, and the last word is getting old."""
        renew_after = self._settings.word_lasts / 2
        asked = tuple(
            name
            for name, home in self._homes.items()
            if home.gated
            and (home.idle or home.live or home.later or home.returned)
            and (self._is_stable(home, now) or (home.returned and home.up_since < inf))
            and now - home.synced_at >= renew_after
            and now - home.asked_at >= min(ASK_EVERY, renew_after)
        )
        for name in asked:
            self._homes[name].asked_at = now
        return asked

    def closed(self) -> frozenset[str]:
        """Return the homes that have returned and of which the gate has not said yet that they have caught up."""
        return frozenset(name for name, home in self._homes.items() if home.gated and home.returned)

    def word(self, home: str, synced: bool, asked_at: float) -> None:
        """The gate has answered what it was asked at that time.

        Answers that come after one to a later question, or to a question from before the last outage, are ignored.
        """
        known = self._homes.get(home)
        if known is not None and asked_at >= max(known.up_since, known.word_at):
            known.word_at, known.synced_at = asked_at, asked_at if synced else -inf
            known.returned = known.returned and not synced

    def phase(self, home: str, now: float) -> Phase:
        """Return what the users of a home wait for."""
        known = self._homes.get(home)
        if known is None or known.up_since == inf:
            return "down"
        if not self._is_stable(known, now):
            return "settling"
        return "returning" if self._is_open(known, now) else "gate"

    def due(self, now: float) -> tuple[Return, ...]:
        """Return who is to be moved now; they are on their way until `done` is told."""
        return tuple(
            order
            for name, home in self._homes.items()
            if self._is_stable(home, now) and self._is_open(home, now)
            for order in self._next_group(name, home, now)
        )

    def done(self, user: str, moved: bool, now: float) -> None:
        """What `due` asked for is over. Who was not moved is tried again later; strangers are ignored."""
        home = self._away.get(user)
        if home is None or user not in self._homes[home].on_the_way:
            return
        if moved:
            self.back(user)
            return
        known = self._homes[home]
        known.later[user] = now + self._settings.again_after, known.on_the_way.pop(user)

    def _is_stable(self, home: _Home, now: float) -> bool:
        return now - home.up_since >= self._settings.failback_after

    def _is_open(self, home: _Home, now: float) -> bool:
        return not home.gated or now - home.synced_at < self._settings.word_lasts

    def _queue(self, home: _Home, user: str, live: bool) -> None:
        """Who is in the right queue already keeps the place there."""
        right, wrong = (home.live, home.idle) if live else (home.idle, home.live)
        wrong.pop(user, None)
        right.setdefault(user)

    def _next_group(self, name: str, home: _Home, now: float) -> list[Return]:
        """Idle users fill up what room there is; live ones go only when nobody else waits or is on the way."""
        self._try_again(home, now)
        room = self._settings.group - len(home.on_the_way)
        if home.idle:
            live, queue = False, home.idle
        elif not home.on_the_way:
            live, queue = True, home.live
        else:
            return []
        users = [queue.popitem(last=False)[0] for _ in range(min(room, len(queue)))]
        home.on_the_way |= dict.fromkeys(users, live)
        return [Return(user, name, live) for user in users]

    def _try_again(self, home: _Home, now: float) -> None:
        while home.later:
            user, (when, live) = next(iter(home.later.items()))
            if now < when:
                return
            del home.later[user]
            self._queue(home, user, live)
