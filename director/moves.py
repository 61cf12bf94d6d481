"""Jobs that move many users: hold, kick, drained, released, for so many users at once as the settings say.

A step's order is given out as an action; the event that answers it leads to the next:

    waiting --Hold--> holding --held--> kicking --drained--> releasing --released--> moved
                         |   `- held, nobody is there -------^   |
                         +-- refused --> refused                 `-- refused --> refused
              any of these, after `move_timeout` or an abort: --Undo--> undoing --undone--> late or aborted

`released` is believed at any step: whoever ends a user's last session finishes the move in the store. While a user is
in an earlier job, a later order takes over from there. Nobody is forgotten halfway: who is not moved is undone.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, Literal, TypeAlias

from director.errors import DirectorError

Step: TypeAlias = Literal["holding", "kicking", "releasing", "undoing"]
Outcome: TypeAlias = Literal["moved", "refused", "late", "aborted", "replaced"]
"""moved: released to the new backend; refused: an order could not be carried out; late: it took longer than the
timeout; aborted: by the operator; replaced: a later order counts."""

JOBS_KEPT: Final = 20
"""So many finished jobs can be looked at."""

UNMOVED_KEPT: Final = 100
"""Of so many users of a job it is kept why they were not moved."""


_WHY: Final[Mapping[Outcome, str]] = {
    "late": "took too long",
    "aborted": "aborted",
    "replaced": "a later order counts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSettings:
    """How many users are moved at once, and how long one may take."""

    move_parallel: int = field(
        default=100,
        metadata={
            "doc": "So many users are held, kicked or released at once, over all moves.",
            "min": 1,
            "max": 10_000,
        },
    )
    move_timeout: float = field(
        default=30.0,
        metadata={
            "doc": "A user whose sessions have not left by then stays; logins that were held go on.",
            "unit": "s",
            "min": 1,
            "max": 3600,
        },
    )
    max_moving: int = field(
        default=1_000_000,
        metadata={
            "doc": "Most users waiting to be moved; a move that makes it more is refused.",
            "min": 1,
            "max": 100_000_000,
        },
    )


class TooManyMoves(DirectorError):
    """`limit` users would be exceeded by those that wait to be moved (max_moving)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} users would wait to be moved (max_moving)")
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Order:
    """Move a user, who has sessions there or not (`live`), from one backend to another; one who is to be `pinned` stays
    there, whatever is preferred."""

    user: str
    was: str
    target: str
    live: bool = False
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job would do: whom it would move, of whom it would kick `live`, and who is there already."""

    move: tuple[Order, ...]
    stay: tuple[Order, ...]
    live: int


@dataclass(frozen=True, slots=True)
class Hold:
    """Let new logins of the user wait and write down the target; then tell `held`, or `refused`."""

    user: str
    target: str


@dataclass(frozen=True, slots=True)
class KickOut:
    """End the user's sessions everywhere, each at a quiet moment; tell `drained` when none is left."""

    user: str


@dataclass(frozen=True, slots=True)
class Release:
    """Assign the user to the target and let the logins that wait go there; then tell `released`, or `refused`.

    Nothing is to be done for a user who is not held for that target, or no longer.
    """

    user: str
    target: str


@dataclass(frozen=True, slots=True)
class Undo:
    """Leave the user where the user was and let the logins that wait go there; then tell `undone`, or `released`."""

    user: str


Action: TypeAlias = Hold | KickOut | Release | Undo
Actions: TypeAlias = tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: users by what they wait for and by what has become of them, and why some were not moved."""

    job: str
    users: int
    waiting: int
    moving: Mapping[Step, int]
    over: Mapping[Outcome, int]
    unmoved: Mapping[str, str]
    """Users and reasons, the first `UNMOVED_KEPT` of them."""
    began: float
    ended: float | None


@dataclass(slots=True)
class _Job:
    name: str
    began: float
    users: int = 0
    waiting: OrderedDict[str, Order] = field(default_factory=OrderedDict)
    moving: Counter[Step] = field(default_factory=Counter)
    over: Counter[Outcome] = field(default_factory=Counter)
    unmoved: dict[str, str] = field(default_factory=dict)
    ended: float | None = None


@dataclass(slots=True)
class _Mover:
    """A user who is being moved."""

    job: _Job
    target: str
    deadline: float
    pinned: bool
    step: Step = "holding"
    outcome: Outcome = "late"
    """What it will have been when it is undone."""


class Moves:
    """All jobs, served in turn. `now` is in seconds and does not go backwards.

    Each event returns what is to be done; what it says about one user is to be done in this order. Events about users
    who are not being moved, or not there, change nothing.
    """

    def __init__(self, settings: MoveSettings) -> None:
        self._settings = settings
        self._jobs: dict[str, _Job] = {}
        self._queue: OrderedDict[str, _Job] = OrderedDict()
        """The jobs in which somebody waits; whose turn it is comes first."""
        self._finished: OrderedDict[str, _Job] = OrderedDict()
        self._waiting: dict[str, _Job] = {}
        self._movers: OrderedDict[str, _Mover] = OrderedDict()
        """Who is being moved; the deadline that comes first is first."""

    def __len__(self) -> int:
        """How many users wait or are being moved."""
        return len(self._waiting) + len(self._movers)

    def target(self, user: str) -> str | None:
        """Return where the user is being moved, None for one who is not, or who still waits for it."""
        mover = self._movers.get(user)
        return None if mover is None else mover.target

    def is_pinned(self, user: str) -> bool:
        """Return whether the user is being moved to stay there, even if another backend is preferred."""
        mover = self._movers.get(user)
        return mover is not None and mover.pinned

    def start(self, job: str, orders: Iterable[Order], now: float) -> Actions:
        """Begin a job; orders for one of the same name that is not over join it.

        Whoever is on the target is not moved, and any earlier move of this user ends. Raises TooManyMoves, and then
        does nothing.
        """
        planned = plan(orders)
        moving = {order.user: order for order in planned.move}
        fresh = sum(user not in self._waiting and user not in self._movers for user in moving)
        if len(self) + fresh > self._settings.max_moving:
            raise TooManyMoves(self._settings.max_moving)
        undone = self._stay([order.user for order in planned.stay], now)
        halfway = [user for user in moving if user in self._movers]
        for user in moving:
            self._leave(user, "replaced", _WHY["replaced"], now)
        known = self._jobs.setdefault(job, _Job(job, now))
        self._enter(known, moving)
        begun = tuple(self._begin(known, user, now) for user in halfway)
        self._tidy(known, now)
        return undone + begun + self._go_on(now)

    def held(self, user: str, target: str, live: bool) -> Actions:
        """Logins of the user wait for that backend; there are sessions to be ended or not.

        Who is held and not being moved, because the order for it was overtaken, is let go.
        """
        mover = self._movers.get(user)
        if mover is None:
            return (Undo(user),)
        if mover.step != "holding" or mover.target != target:
            return ()
        if not live:
            return self._release(user, mover)
        self._step(mover, "kicking")
        return (KickOut(user),)

    def drained(self, user: str) -> Actions:
        """No session of the user is left anywhere."""
        mover = self._movers.get(user)
        return self._release(user, mover) if mover is not None and mover.step == "kicking" else ()

    def released(self, user: str, target: str, now: float) -> Actions:
        """The user is on that backend."""
        return self._over(user, target, "moved", "", now)

    def refused(self, user: str, target: str, reason: str, now: float) -> Actions:
        """An order to that backend cannot be carried out; the user is where the user was and no login waits."""
        return self._over(user, target, "refused", reason, now)

    def undone(self, user: str, now: float) -> Actions:
        """The user stays, as `Undo` wanted it."""
        mover = self._movers.get(user)
        if mover is None or mover.step != "undoing":
            return ()
        return self._over(user, mover.target, mover.outcome, _WHY[mover.outcome], now)

    def tick(self, now: float) -> Actions:
        """Time has passed: undo who took too long, and ask again for what should have been undone."""
        late = [user for user, mover in takewhile(lambda item: item[1].deadline <= now, self._movers.items())]
        return tuple(self._undo(user, self._movers[user].outcome, now) for user in late) + self._go_on(now)

    def abort(self, job: str, now: float) -> Actions:
        """Move nobody else of the job; who is being moved is undone, unless being released already."""
        known = self._jobs.get(job)
        if known is None:
            return ()
        for user in list(known.waiting):
            self._leave(user, "aborted", _WHY["aborted"], now)
        halfway = [
            user for user, mover in self._movers.items() if mover.job is known and mover.step in ("holding", "kicking")
        ]
        return tuple(self._undo(user, "aborted", now) for user in halfway) + self._go_on(now)

    def progress(self) -> tuple[Progress, ...]:
        """Return how far each job is: those that are over, the first to end first, then the others."""
        return tuple(_progress(job) for job in (*self._finished.values(), *self._jobs.values()))

    def _stay(self, users: Sequence[str], now: float) -> Actions:
        """End earlier moves of users who are where they belong."""
        waiting = [user for user in users if user in self._waiting]
        for user in waiting:
            self._leave(user, "replaced", _WHY["replaced"], now)
        return tuple(self._undo(user, "replaced", now) for user in users if user in self._movers)

    def _enter(self, job: _Job, orders: Mapping[str, Order]) -> None:
        job.users += len(orders)
        job.waiting.update(orders)
        self._waiting.update(dict.fromkeys(orders, job))
        self._queue.setdefault(job.name, job)

    def _leave(self, user: str, outcome: Outcome, reason: str, now: float) -> None:
        """Book the end of the user's part in the job the user is in, if any."""
        mover, job = self._movers.pop(user, None), self._waiting.pop(user, None)
        if mover is not None:
            job = mover.job
            job.moving[mover.step] -= 1
        if job is None:
            return
        if mover is None:
            del job.waiting[user]
        job.over[outcome] += 1
        if outcome != "moved" and len(job.unmoved) < UNMOVED_KEPT:
            job.unmoved[user] = reason
        self._tidy(job, now)

    def _tidy(self, job: _Job, now: float) -> None:
        """Take a job in which nobody waits from the queue, and one in which nobody is left from the jobs."""
        if job.waiting:
            return
        self._queue.pop(job.name, None)
        if job.moving.total() == 0:
            del self._jobs[job.name]
            job.ended = now
            self._finished.pop(job.name, None)
            self._finished[job.name] = job
            if len(self._finished) > JOBS_KEPT:
                self._finished.popitem(last=False)

    def _go_on(self, now: float) -> Actions:
        """Begin with as many users as there is room for, one of each job in turn."""
        actions: list[Action] = []
        while self._queue and len(self._movers) < self._settings.move_parallel:
            name, job = next(iter(self._queue.items()))
            self._queue.move_to_end(name)
            actions.append(self._begin(job, next(iter(job.waiting)), now))
        return tuple(actions)

    def _begin(self, job: _Job, user: str, now: float) -> Action:
        order = job.waiting.pop(user)
        del self._waiting[user]
        self._movers[user] = _Mover(job, order.target, now + self._settings.move_timeout, order.pinned)
        job.moving["holding"] += 1
        self._tidy(job, now)
        return Hold(user, order.target)

    def _release(self, user: str, mover: _Mover) -> Actions:
        self._step(mover, "releasing")
        return (Release(user, mover.target),)

    def _undo(self, user: str, outcome: Outcome, now: float) -> Action:
        mover = self._movers[user]
        mover.outcome, mover.deadline = outcome, now + self._settings.move_timeout
        self._movers.move_to_end(user)
        self._step(mover, "undoing")
        return Undo(user)

    def _step(self, mover: _Mover, step: Step) -> None:
        mover.job.moving[mover.step] -= 1
        mover.job.moving[step] += 1
        mover.step = step

    def _over(self, user: str, target: str, outcome: Outcome, reason: str, now: float) -> Actions:
        mover = self._movers.get(user)
        if mover is None or mover.target != target:
            return ()
        self._leave(user, outcome, reason, now)
        return self._go_on(now)


def plan(orders: Iterable[Order]) -> Plan:
    """Return what a job with these orders would do: the dry run. Of several orders for a user, the last counts."""
    last = {order.user: order for order in orders}.values()
    move = tuple(order for order in last if order.was != order.target)
    stay = tuple(order for order in last if order.was == order.target)
    return Plan(move, stay, sum(order.live for order in move))


def _progress(job: _Job) -> Progress:
    return Progress(
        job.name,
        job.users,
        len(job.waiting),
        {step: number for step, number in job.moving.items() if number},
        dict(job.over),
        dict(job.unmoved),
        job.began,
        job.ended,
    )
