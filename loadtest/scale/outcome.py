"""What came of a scale test: each step, the hold, the end; and what a session and a login have cost by that."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.record import Record
from loadtest.report.latency import LatencyHistogram
from loadtest.report.sampling import Sampler
from loadtest.scale.census import SOCKETS, Census

ENDS = 4
"""Sockets of a session on the machine: Vestibule's two, and those at their other ends."""

JUDGED = 1_000
"""Sessions from which on the memory of one is judged: with fewer, what a process needs once outweighs them."""

JUDGED_RETURN = 10_000
"""The same for memory that comes back: with fewer, what Python's arenas keep outweighs what sessions had."""

BACK = 0.7
"""Of the memory that sessions took, so much has to be returned. What Python keeps, because the director still has the
assignments of users who have left and workers what they learnt of them, is used for the next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From one number of sessions to the next, and what there was then.

    `sessions` are those inside, `opened` those that came in this step, in `seconds`; `cpu` are seconds of CPU in that
    time. `resting` is CPU in cores while nobody came. `arrivals` are times from the first packet until logged in.
    """

    wanted: int
    sessions: int
    opened: int
    seconds: float
    cpu: float
    resting: float
    census: Census
    arrivals: LatencyHistogram

    @property
    def rate(self) -> float:
        """Logins a second."""
        return self.opened / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How it went while the last step was held: sessions at its end, CPU in seconds, messages that arrived and how
    long each took from the backend until it had been fetched."""

    seconds: float
    cpu: float
    sessions: int
    pushed: int
    pushes: LatencyHistogram

    @property
    def cores(self) -> float:
        """CPU in use, on average."""
        return self.cpu / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """After everybody has left: until the counters were 0 and until the memory was back, in seconds since the close.

    None for what did not happen in time. `left` are gauges that are not 0, and backends with sessions.
    """

    emptied: float | None
    returned: float | None
    left: dict[str, float]
    census: Census


@dataclass(slots=True, kw_only=True)
class Outcome:
    """All of it; `began` is Unix time. `fresh` is Vestibule's PSS in KiB before anybody came, `empty` is what it had
    when a few sessions had come and gone."""

    began: float
    record: Record
    attendance: Attendance
    sampler: Sampler
    fresh: int
    empty: Census
    idle: float = 0.0
    """CPU in cores of the empty Vestibule."""
    seconds: float = 0.0
    steps: list[Step] = field(default_factory=list)
    hold: Hold | None = None
    end: End | None = None
    interrupted: bool = False

    @property
    def most(self) -> int:
        """Sessions at once, as far as steps tell."""
        return max((step.sessions for step in self.steps), default=0)


def bound_of_return(outcome: Outcome) -> float:
    """KiB that Vestibule may have when everybody has left."""
    last = max((step.census.pss for step in outcome.steps), default=outcome.empty.pss)
    return last - BACK * (last - outcome.empty.pss)


def memory_of_a_session(step: Step, empty: Census) -> float:
    """KiB of PSS: the whole of Vestibule less the empty one."""
    return (step.census.pss - empty.pss) / max(step.sessions, 1)


def kernel_of_a_session(step: Step, empty: Census) -> float | None:
    """KiB of the kernel's for the two sockets of Vestibule's: half of what all four of a session take."""
    if step.census.kernel is None or empty.kernel is None:
        return None
    return (step.census.kernel - empty.kernel) / max(step.sessions, 1) * SOCKETS / ENDS / 1024


def cpu_of_a_login(step: Step, resting_before: float) -> float:
    """Seconds: what was used while they came, less what those who were there used, by the mean of before and after."""
    others = (resting_before + step.resting) / 2 * step.seconds
    return max(0.0, step.cpu - others) / max(step.opened, 1)


def resting_before(outcome: Outcome, number: int) -> float:
    """CPU in cores while nobody came, before the step of this number (from 0)."""
    return outcome.steps[number - 1].resting if number else outcome.idle
