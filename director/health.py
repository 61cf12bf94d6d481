"""Which backends are down as far as this node can see, by what its probes and its sessions' logins say.

Probes judge: so many that fail in a row and the backend is down, so many that are good in a row and it is up again. A
login that fails is a reason to ask at once, and no more than that: one broken mailbox must not take a backend away
from everybody. Only where probes do not reach what fails do logins judge by themselves, and then it takes different
users. Who was put down by them gets another chance after a time, for nobody would notice otherwise that it is well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final, Literal, NamedTuple, TypeAlias

from director.sections import HealthSettings

Phase: TypeAlias = Literal["connect", "login"]
"""How far a login came: "connect" until the backend has greeted, then "login"."""

ASK_EVERY: Final = 0.2
"""Seconds between two probes of a backend that failed logins have asked for."""

PAUSE: Final = 0.05
"""Seconds between the second failed probe in a row and those that follow; the second itself comes at once."""

COUNTS_FOR: Final = 60.0
"""Seconds after which a failed login is no longer one of several in a row."""

CHANCE_AFTER: Final = 15.0
"""Seconds of good probes after which users may find out whether a backend that they put down is well again."""

LOST_AFTER: Final = 5.0
"""Seconds beyond its time after which a probe has been forgotten by whoever makes it; another one is made."""

_JITTER: Final = 0.1
_REACHES: Final[Mapping[str, tuple[Phase, ...]]] = {
    "connect": (),
    "greeting": ("connect",),
    "tls": ("connect",),
    "login": ("connect", "login"),
}
"""Of which phases a good probe of each depth says that they are well."""


class Heard(NamedTuple):
    """What an event means: the backend has turned up (True), down (False) or not at all (None), and whether a probe of
    it is to be made now, which is under way from then on."""

    turned: bool | None
    probe: bool


class View(NamedTuple):
    """How this node sees a backend, and since when. `problem` is what was wrong the last time, "" if nothing;
    `probing` says that a probe is under way."""

    up: bool
    problem: str
    since: float
    probing: bool


@dataclass(slots=True)
class _Sight:
    """What is known of one backend."""

    since: float
    due_at: float
    up: bool = True
    problem: str = ""
    started: float = inf
    """When the probe that is under way began; inf when there is none."""
    doubtful: bool = False
    asked_at: float = -inf
    """When a probe was last made because something had failed."""
    failed: int = 0
    good: int = 0
    """Probes in a row, up to now."""
    good_since: float = inf
    unseen: bool = False
    """It is down because of what probes do not reach."""
    failures: dict[Phase, dict[str, float]] = field(default_factory=dict)
    """Whose logins failed in which phase in a row, and when."""


_NOTHING: Final = Heard(None, False)


class Health:
    """This node's own view of each backend. `now` is in seconds and does not go backwards.

    A backend is up until something else is found. What is said of unknown ones is ignored. Nodes with different seeds
    ask at different times.
    """

    def __init__(self, settings: HealthSettings, seed: str = "") -> None:
        self._settings = settings
        self._random = Random(seed)  # noqa: S311  (it spreads probes over time)
        self._reaches = _REACHES[settings.probe]
        self._sights: dict[str, _Sight] = {}

    def arrange(self, names: Iterable[str], now: float) -> None:
        """These are the backends now; others are forgotten, new ones are asked within the usual time."""
        sights = self._sights
        self._sights = {name: sights.get(name) or _Sight(now, self._first(now)) for name in names}

    def probed(self, backend: str, problem: str, now: float) -> Heard:
        """A probe is over: "" when it was good, else what was wrong."""
        sight = self._sights.get(backend)
        if sight is None:
            return _NOTHING
        sight.started, sight.doubtful = inf, False
        if not problem:
            return Heard(self._went_well(sight, now), False)
        turned = self._went_wrong(sight, problem, now)
        return Heard(turned, self._begins(sight, now))

    def reported(self, backend: str, user: str, phase: Phase, ok: bool, now: float) -> Heard:
        """A session tells how its login at the backend went: "login" is the whole of it, if it went well."""
        sight = self._sights.get(backend)
        if sight is None:
            return _NOTHING
        if ok:
            for passed in ("connect", "login") if phase == "login" else ("connect",):
                sight.failures.pop(passed, None)
            return _NOTHING
        if not sight.up:
            return _NOTHING
        if self._failed_in_a_row(sight, user, phase, now) >= max(2, self._settings.failures_to_down):
            self._put_down(sight, f"several users in a row failed to {_WORDS[phase]}", now)
            sight.unseen = phase not in self._reaches
            return Heard(False, False)
        sight.doubtful = True
        sight.due_at = min(sight.due_at, max(now, sight.asked_at + ASK_EVERY))
        return Heard(None, self._begins(sight, now))

    def due(self, now: float) -> tuple[str, ...]:
        """Return the names of the backends to probe now; these probes are under way from then on."""
        return tuple(name for name, sight in self._sights.items() if self._begins(sight, now))

    def view(self, backend: str) -> View:
        """Return how the backend is seen. Raises KeyError for one that is not known."""
        sight = self._sights[backend]
        return View(sight.up, sight.problem, sight.since, sight.started != inf)

    def doubtful(self, backend: str) -> bool:
        """Whether something has failed there and the probe that follows is not over: wait for it and know more."""
        sight = self._sights.get(backend)
        return sight is not None and sight.doubtful

    def _first(self, now: float) -> float:
        return now + self._random.random() * self._settings.every

    def _next(self, now: float) -> float:
        return now + self._random.uniform(1 - _JITTER, 1 + _JITTER) * self._settings.every

    def _begins(self, sight: _Sight, now: float) -> bool:
        """Whether a probe begins now, one at a time."""
        if now < sight.due_at or now < sight.started + self._settings.timeout + LOST_AFTER < inf:
            return False
        sight.started, sight.due_at = now, self._next(now)
        if sight.doubtful:
            sight.asked_at = now
        return True

    def _went_well(self, sight: _Sight, now: float) -> bool | None:
        for phase in self._reaches:
            sight.failures.pop(phase, None)
        sight.failed, sight.good, sight.due_at = 0, sight.good + 1, self._next(now)
        if sight.good == 1:
            sight.good_since = now
        if sight.up:
            sight.problem = ""
            return None
        wait = CHANCE_AFTER if sight.unseen else 0.0
        if sight.good < self._settings.successes_to_up or now - sight.good_since < wait:
            return None
        sight.up, sight.since, sight.problem, sight.unseen = True, now, "", False
        return True

    def _went_wrong(self, sight: _Sight, problem: str, now: float) -> bool | None:
        sight.failed, sight.good, sight.problem, sight.due_at = sight.failed + 1, 0, problem, self._next(now)
        if not sight.up:
            return None
        if sight.failed >= self._settings.failures_to_down:
            self._put_down(sight, problem, now)
            return False
        sight.doubtful = True
        sight.due_at = now if sight.failed == 1 else now + PAUSE
        return None

    def _put_down(self, sight: _Sight, problem: str, now: float) -> None:
        sight.up, sight.since, sight.problem = False, now, problem
        sight.good, sight.doubtful = 0, False
        sight.failures.clear()

    def _failed_in_a_row(self, sight: _Sight, user: str, phase: Phase, now: float) -> int:
        """How many different users failed in the phase, this one included; few are kept, for more put it down."""
        users = sight.failures.setdefault(phase, {})
        for one in [one for one, at in users.items() if now - at >= COUNTS_FOR]:
            del users[one]
        users[user] = now
        return len(users)


_WORDS: Final[Mapping[Phase, str]] = {"connect": "connect", "login": "log in"}
