"""One run of a fleet, from the first client to the audit: processes, events, samples and progress."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.clients import Account
from loadtest.fleet.crew import Crew, crew
from loadtest.fleet.ground import Ground
from loadtest.fleet.process import Assignment
from loadtest.fleet.record import Record
from loadtest.fleet.scenario import FOR_BACKENDS, Event, Scenario
from loadtest.report.sampling import Sampler

TICK = 0.5
"""Seconds, at most, between two looks at everything."""

PATIENCE = 120.0
"""Seconds after its end in which a run has to be over, audit included."""


class Interruption:
    """Whether somebody wants the run to end, by Ctrl-C or SIGTERM: with a report, or at once if they ask again."""

    def __init__(self) -> None:
        self.wanted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Both signals are taken for a polite request inside the block."""
    interruption = Interruption()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interruption) for number in numbers]
    try:
        yield interruption
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; `seconds` is how long it lasted, `began` is Unix time, `ended` is monotonic."""

    record: Record
    attendance: Attendance
    sampler: Sampler
    began: float
    ended: float
    seconds: float
    interrupted: bool
    refused_orders: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, on what, with how many processes; `hostile` is whether hostile clients come as well."""

    scenario: Scenario
    ground: Ground
    processes: int
    password: str
    accounts: Sequence[Account] = ()
    hostile: bool = True


Watch = Callable[[float, Record, Attendance], None]
"""Is shown how it goes, about twice a second: seconds since the beginning, and what has been seen."""


def run(plan: Plan, interruption: Interruption, watch: Watch) -> Outcome:
    """Do it. Raises CrewFailed."""
    with crew(_assignments(plan)) as clients:
        return _Run(plan, clients, clients.begin()).until_over(interruption, watch)


def _assignments(plan: Plan) -> list[Assignment]:
    return [
        Assignment(
            plan.scenario,
            plan.ground.target,
            number,
            plan.processes,
            plan.password,
            list(plan.accounts),
            plan.hostile,
        )
        for number in range(plan.processes)
    ]


class _Run:
    def __init__(self, plan: Plan, clients: Crew, began: float) -> None:
        self._plan = plan
        self._clients = clients
        self._began = began
        self._record = Record(plan.scenario.seconds)
        self._attendance = Attendance(plan.scenario.limits.overlap)
        self._sampler = Sampler({**plan.ground.pids, **clients.pids})
        self._next_sample = 0.0
        self._events = sorted(
            (event for event in plan.scenario.event if event.do in FOR_BACKENDS), key=lambda one: one.at
        )

    def until_over(self, interruption: Interruption, watch: Watch) -> Outcome:
        unix = time.time() + self._began - time.monotonic()
        stopped: float | None = None
        while self._clients.working and self._now() < (stopped or self._plan.scenario.seconds) + PATIENCE:
            for snapshot in self._clients.listen(TICK):
                self._record.add(snapshot)
            if interruption.wanted and stopped is None:
                stopped = self._now()
                self._clients.stop(audit=False)
            self._look(happens=stopped is None)
            watch(self._now(), self._record, self._attendance)
        seconds = min(self._plan.scenario.seconds, stopped if stopped is not None else self._now())
        self._note_presence()
        orders = self._plan.ground.refused_orders()
        return Outcome(
            self._record, self._attendance, self._sampler, unix, time.monotonic(), seconds, stopped is not None, orders
        )

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _look(self, *, happens: bool) -> None:
        now = self._now()
        while happens and self._events and self._events[0].at <= now:
            self._make_happen(self._events.pop(0))
        if 0.0 <= now <= self._plan.scenario.seconds and now >= self._next_sample:
            self._next_sample = now + self._record.width
            self._sampler.sample(now)
        self._note_presence()

    def _make_happen(self, event: Event) -> None:
        site = self._plan.ground.site
        if event.do == "kill" and site is not None:
            site.kill(event.backend)
        elif event.do == "revive" and site is not None:
            site.revive(event.backend)
        elif event.do == "drain":
            self._plan.ground.order("drain", event.backend, "--yes")
        elif event.do == "online":
            self._plan.ground.order("online", event.backend)

    def _note_presence(self) -> None:
        told, until = self._plan.ground.presences()
        if self._now() >= 0.0:  # what an earlier run on the same ground has left to be told is not ours
            self._attendance.note(told, until)
