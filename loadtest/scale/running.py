"""The scale test itself: warm up, open step by step, hold, close to zero, and look at everything meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.ground import Ground
from loadtest.fleet.record import INSIDE, Record
from loadtest.fleet.running import Interruption
from loadtest.report.latency import LatencyHistogram
from loadtest.report.sampling import Sampler
from loadtest.scale.census import census, gauges
from loadtest.scale.holders import Holders
from loadtest.scale.outcome import JUDGED_RETURN, End, Hold, Outcome, Step, bound_of_return
from loadtest.scale.plan import Plan
from loadtest.usage import cpu_seconds, pss_kib
from loadtest.vestibule import Daemon

TICK = 0.25
"""Seconds, at most, between two looks at anything."""

LOOK = 1.0
"""Seconds between two samples of processes, and between two questions to backends."""

SHOW = 5.0
"""Seconds between two lines of progress."""

WARM = 8
"""Sessions for each worker before anything is measured: what is needed once is there then, and what processes shared
has been copied. No more, for what they leave behind is used by the first of those that are measured."""

ASKED = 6
"""Times that the metrics are read for the same reason."""

SLOWEST = 20.0
"""Logins a second; a step that takes longer than that and `PATIENCE` is given up."""

SLOWEST_END = 500.0
"""Sessions a second that end at least, when all do."""

PATIENCE = 60.0
"""Seconds that anything may take."""

RETURN = 120.0
"""Seconds in which memory has to be back."""

APART = 2.0
"""Seconds between two looks at what is dear to look at."""

TOLERANCE = 1.0
"""Seconds a user may be at two backends; here everybody has one session."""

Say = Callable[[str], None]


class Running:
    """One run on a ground of its own, with client processes that are ready and have no sessions."""

    def __init__(self, plan: Plan, ground: Ground, holders: Holders, interruption: Interruption, say: Say) -> None:
        assert ground.daemon is not None  # noqa: S101 (the ground is ours)
        self._plan = plan
        self._ground = ground
        self._daemon: Daemon = ground.daemon
        self._holders = holders
        self._interruption = interruption
        self._say = say
        self._record = self._new_record()
        self._attendance = Attendance(TOLERANCE)
        self._sampler = Sampler({**ground.pids, **holders.pids})
        self._fresh: dict[str, LatencyHistogram] = {}
        self._next_look = self._next_line = 0.0

    def run(self) -> Outcome:
        """Everything; after an interruption, what there is. Raises CrewFailed, SiteFailed, OSError."""
        began, fresh = time.time() - self._holders.now(), pss_kib(self._daemon.pid)
        self._warm_up()
        outcome = self._outcome(began, fresh)
        for wanted in self._plan.steps:
            if self._stopped or (outcome.steps and outcome.steps[-1].sessions < outcome.steps[-1].wanted):
                break
            step = self._step(wanted)
            if self._stopped and step.sessions < wanted:
                break
            outcome.steps.append(step)
            self._told(step, outcome)
        if not self._stopped:
            outcome.hold = self._hold()
        outcome.interrupted = self._stopped
        outcome.end = self._close(outcome)
        outcome.seconds = self._holders.now()
        return outcome

    @property
    def _stopped(self) -> bool:
        return self._interruption.wanted

    @property
    def _inside(self) -> int:
        states = self._record.states()
        return sum(states[name] for name in INSIDE)

    def _new_record(self) -> Record:
        return Record(self._plan.hold + self._plan.last / 200 + PATIENCE)

    def _warm_up(self) -> None:
        """Some sessions come and go, and are in no figure."""
        warm = min(WARM * self._plan.workers, self._plan.last)
        self._holders.want(warm)
        self._listen(PATIENCE, lambda: self._settled(warm))
        self._holders.want(0)
        self._listen(PATIENCE, lambda: not self._left(), LOOK)
        for _ in range(ASKED):
            self._gauges()
        self._record, self._attendance = self._new_record(), Attendance(TOLERANCE)

    def _outcome(self, began: float, fresh: int) -> Outcome:
        idle = self._resting()
        empty = census(self._daemon)
        return Outcome(
            began=began,
            record=self._record,
            attendance=self._attendance,
            sampler=self._sampler,
            fresh=fresh,
            empty=empty,
            idle=idle,
        )

    def _step(self, wanted: int) -> Step:
        """Open up to so many, and stay there for a moment."""
        self._fresh = {}
        before, came, cpu = self._holders.now(), self._record.counts["logins"], cpu_seconds(self._daemon.pid)
        self._holders.want(wanted)
        self._listen(PATIENCE + wanted / SLOWEST, lambda: self._stopped or self._settled(wanted))
        arrivals = self._fresh.get("arrival", LatencyHistogram())
        seconds, cpu = self._holders.now() - before, cpu_seconds(self._daemon.pid) - cpu
        resting = self._resting()
        return Step(
            wanted=wanted,
            sessions=self._inside,
            opened=self._record.counts["logins"] - came,
            seconds=seconds,
            cpu=cpu,
            resting=resting,
            census=census(self._daemon),
            arrivals=arrivals,
        )

    def _settled(self, wanted: int) -> bool:
        """Everybody is in, or has failed."""
        counts = self._record.counts
        return self._inside + counts["not opened"] + counts["dropped"] >= wanted

    def _resting(self) -> float:
        """CPU in cores while nobody comes."""
        began, cpu = time.monotonic(), cpu_seconds(self._daemon.pid)
        self._listen(self._plan.rest, lambda: self._stopped)
        return (cpu_seconds(self._daemon.pid) - cpu) / max(time.monotonic() - began, 1e-3)

    def _hold(self) -> Hold:
        began, cpu, pushed = time.monotonic(), cpu_seconds(self._daemon.pid), self._record.counts["pushed"]
        self._fresh = {}
        self._listen(self._plan.hold, lambda: self._stopped)
        return Hold(
            seconds=time.monotonic() - began,
            cpu=cpu_seconds(self._daemon.pid) - cpu,
            sessions=self._inside,
            pushed=self._record.counts["pushed"] - pushed,
            pushes=self._fresh.get("push", LatencyHistogram()),
        )

    def _close(self, outcome: Outcome) -> End:
        """Everybody leaves at once. Memory is waited for where it is judged."""
        bound, patience = bound_of_return(outcome), RETURN if outcome.most >= JUDGED_RETURN else self._plan.rest
        began = time.monotonic()
        self._say("closing all sessions")
        self._holders.want(0)
        emptied = self._time_until(began, PATIENCE + self._plan.last / SLOWEST_END, lambda: not self._left())
        returned = self._time_until(began, patience, lambda: pss_kib(self._daemon.pid) <= bound)
        return End(emptied=emptied, returned=returned, left=self._left(), census=census(self._daemon))

    def _time_until(self, began: float, patience: float, condition: Callable[[], bool]) -> float | None:
        """Seconds since `began` until a condition, which is dear to look at, held; None if it did not."""
        held = self._listen(patience, condition, APART)
        return time.monotonic() - began if held else None

    def _left(self) -> dict[str, float]:
        """Who is still there, by everybody who counts."""
        self._look(force=True)
        found: dict[str, float] = {"clients": self._inside, **self._gauges()}
        found |= {f"sessions at {backend}": number for backend, number in self._attendance.now.items()}
        return {name: value for name, value in found.items() if value > 0}

    def _gauges(self) -> dict[str, float]:
        """Who is there by the metrics; while everybody leaves at once, the page may be late."""
        try:
            return gauges(self._daemon)
        except OSError as fault:
            return {f"no metrics: {fault}": 1.0}

    def _listen(self, seconds: float, condition: Callable[[], bool], apart: float = 0.0) -> bool:
        """Hear the clients until a condition holds, for so long at most; it is looked at so many seconds apart."""
        now = time.monotonic()
        until, due = now + seconds, now
        while True:
            if now >= due:
                if condition():
                    return True
                due = now + apart
            if now >= until:
                return False
            self._hear(min(TICK, until - now))
            now = time.monotonic()

    def _hear(self, seconds: float) -> None:
        for snapshot in self._holders.listen(seconds):
            self._record.add(snapshot)
            for phase, plain in snapshot.latencies.items():
                self._fresh.setdefault(phase, LatencyHistogram()).merge(LatencyHistogram.of(plain))
        self._look()
        if self._holders.now() >= self._next_line:
            self._next_line = self._holders.now() + SHOW
            self._show()

    def _look(self, *, force: bool = False) -> None:
        now = self._holders.now()
        if force or now >= self._next_look:
            self._next_look = now + LOOK
            self._sampler.sample(now)
            self._attendance.note(*self._ground.presences())

    def _show(self) -> None:
        recent, rate = self._record.recent("arrival", "logins")
        self._say(
            f"{self._holders.now():5.0f} s: {self._inside:,} logged in, {rate:.0f} logins/s "
            f"(p99 {recent.quantile(0.99) * 1e3:.0f} ms), {self._record.counts['pushed']:,} messages"
        )

    def _told(self, step: Step, outcome: Outcome) -> None:
        mib = (step.census.pss - outcome.empty.pss) / 1024
        self._say(
            f"{step.sessions:,} sessions: {mib:,.0f} MiB more than without, {step.census.most:,} descriptors at most"
        )
