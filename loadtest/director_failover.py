"""How soon users find the partner when their backend dies or falls silent, and what becomes of their sessions."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtest.director_backend import BACKLOG, BackendProcess
from loadtest.director_client import Front, Return, Session, come_in, log_in
from loadtest.director_site import Daemon, daemon, ldif_users, shard_table
from loadtest.figures import Figure

PASSWORD = "secret"

QUIET = 10
"""Users with a session in IDLE on the backend that fails; the first of them comes back at once, the others do not."""

LATER = 8
"""Users who log in one after the other while it is found out, one each `LATER_EVERY` seconds."""

LATER_EVERY = 0.5

HEAD_START = 0.05
"""Seconds that a login is under way before its backend dies."""

LONGEST = 30.0
"""Seconds after which a session that is still open is left alone."""

EVERY = 1.5
"""The default time between two probes: a repetition begins at any point of it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to fail: its name, how it is done, whether a login is under way, and the goal for the first login."""

    name: str
    strike: Callable[[BackendProcess], None]
    mend: Callable[[BackendProcess], None]
    under_way: bool = False
    backlog: int = BACKLOG
    goal: str = "<= 5"


def _restart(backend: BackendProcess) -> None:
    backend.begin()
    backend.wait()


FAULTS = (
    Fault("killed", BackendProcess.kill, _restart, goal="<= 1"),
    Fault("killed in a login", BackendProcess.kill, _restart, under_way=True, goal="<= 1"),
    Fault("silent", BackendProcess.freeze, BackendProcess.thaw),
    Fault("no connection", BackendProcess.clog, BackendProcess.thaw, backlog=16),
)


@dataclass(slots=True)
class Pair:
    """A shard for one repetition: `backends[0]` fails."""

    shard: str
    fault: Fault
    backends: tuple[BackendProcess, BackendProcess]

    @property
    def users(self) -> list[str]:
        """Those of this shard."""
        return [f"{self.shard}-{number}" for number in range(QUIET + LATER + 1)]


@dataclass(slots=True)
class Outcome:
    """One repetition: the first login at the partner, later ones, and how long sessions stayed open."""

    first: Return
    later: list[Return] = field(default_factory=list)
    under_way: Return | None = None
    back: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    said: set[str] = field(default_factory=set)


def failover_figures(run: Callable[..., object], repetitions: int) -> list[Figure]:
    """Each fault so many times, each time in a shard of its own; `run` runs a coroutine."""
    with ExitStack() as stack:
        pairs = list(_pairs(repetitions))
        backends = [backend for pair in pairs for backend in pair.backends]
        for backend in backends:
            stack.callback(backend.kill)
            backend.begin()
        for backend in backends:
            backend.wait()
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="vestibule-measure-")))
        people = folder / "people.ldif"
        people.write_text(ldif_users({user: pair.shard for pair in pairs for user in pair.users}, PASSWORD))
        shards = "\n".join(shard_table(pair.shard, pair.backends) for pair in pairs)
        site = stack.enter_context(daemon(f'[directory]\nkind = "ldif"\nfile = "{people}"\n\n{shards}'))
        figures: list[Figure] = []
        run(_measure(site, pairs, figures))
        return figures


def _pairs(repetitions: int) -> Iterator[Pair]:
    for kind, fault in enumerate(FAULTS):
        for number in range(repetitions):
            shard = f"s{kind}-{number}"
            yield Pair(
                shard, fault, (BackendProcess(f"{shard}-a", backlog=fault.backlog), BackendProcess(f"{shard}-b"))
            )


async def _measure(site: Daemon, pairs: Sequence[Pair], figures: list[Figure]) -> None:
    """One after the other; while the last sessions of one are being closed, the next begins."""
    outcomes: dict[str, list[Outcome]] = {fault.name: [] for fault in FAULTS}
    sessions = {pair.shard: await _log_in(site.front, pair) for pair in pairs}
    async with asyncio.TaskGroup() as tasks:
        for pair in pairs:
            outcomes[pair.fault.name].append(await _fail(site.front, pair, sessions[pair.shard], tasks))
    for fault in FAULTS:
        figures += _figures(fault, outcomes[fault.name])


async def _log_in(front: Front, pair: Pair) -> list[Session]:
    """The quiet sessions, which are old when their backend fails: young ones may be logins, and are treated as such."""
    sessions = [await log_in(front, user, PASSWORD) for user in pair.users[:QUIET]]
    if {session.where for session in sessions} != {pair.backends[0].name}:
        raise OSError(f"not everybody is at {pair.backends[0].name}")
    for session in sessions:
        await session.idle()
    return sessions


async def _fail(front: Front, pair: Pair, sessions: Sequence[Session], tasks: asyncio.TaskGroup) -> Outcome:
    """Returns when the first logins have been made; what is left to be seen is seen by `tasks`."""
    struck, partner = pair.backends
    quiet, later, one_more = pair.users[:QUIET], pair.users[QUIET:-1], pair.users[-1]
    await asyncio.sleep(random.uniform(0, EVERY))
    under_way = None
    if pair.fault.under_way:
        struck.freeze()
        under_way = asyncio.create_task(come_in(front, one_more, PASSWORD, at=partner.name))
        await asyncio.sleep(HEAD_START)
    pair.fault.strike(struck)
    began = asyncio.get_running_loop().time()
    watches = [asyncio.create_task(_ended(session, began)) for session in sessions]
    others = tasks.create_task(_come_later(front, later, partner.name))
    outcome = Outcome(await come_in(front, quiet[0], PASSWORD, at=partner.name))
    outcome.under_way = await under_way if under_way else None
    tasks.create_task(_see(pair, outcome, watches, others))
    return outcome


async def _come_later(front: Front, users: Sequence[str], at: str) -> list[Return]:
    async with asyncio.TaskGroup() as tasks:
        coming = []
        for user in users:
            coming.append(tasks.create_task(come_in(front, user, PASSWORD, at=at)))
            await asyncio.sleep(LATER_EVERY)
    return [task.result() for task in coming]


async def _ended(session: Session, began: float) -> tuple[float, str]:
    said = await session.end()
    return asyncio.get_running_loop().time() - began, said


async def _see(
    pair: Pair,
    outcome: Outcome,
    watches: Sequence[asyncio.Task[tuple[float, str]]],
    others: asyncio.Task[list[Return]],
) -> None:
    """Write down how the others fare, and mend the backend."""
    outcome.later = await others
    _, still_open = await asyncio.wait(watches, timeout=LONGEST)
    for watch in still_open:
        watch.cancel()
    ends = [(LONGEST, "still open") if watch in still_open else watch.result() for watch in watches]
    outcome.back, outcome.quiet = [ends[0][0]], [seconds for seconds, _ in ends[1:]]
    outcome.said = {said for _, said in ends}
    for back in (outcome.first, *outcome.later):
        back.session.client.close()
    await asyncio.to_thread(pair.fault.mend, pair.backends[0])


def _figures(fault: Fault, outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    name = f"failover, {fault.name}"
    count = len(outcomes)
    how = f"from the fault, the same user as a session there; {count} times"
    yield from spread(f"{name}: first login", [outcome.first.seconds for outcome in outcomes], fault.goal, how)
    every = [back for outcome in outcomes for back in (outcome.first, *outcome.later)]
    under_way = [outcome.under_way for outcome in outcomes if outcome.under_way]
    if under_way:
        how = f"sent {HEAD_START:g} s before the fault, from the fault on"
        seconds = [back.seconds - HEAD_START for back in under_way]
        yield from spread(f"{name}: login under way", seconds, fault.goal, how)
    refusals = [text for back in (*every, *under_way) for _, text in back.refusals]
    yield Figure(f"{name}: refused logins", len(refusals), "logins", "0", f"of {len(every)}; {_words(refusals)}")
    how = f"{count * LATER} other users, one each {LATER_EVERY:g} s after the fault"
    yield from spread(f"{name}: later logins", [one.seconds for outcome in outcomes for one in outcome.later], "", how)
    said = {words for outcome in outcomes for words in outcome.said}
    how = f"the old session of the user who came back; heard: {_words(sorted(said))}"
    yield from spread(f"{name}: returned user's old session", [one for each in outcomes for one in each.back], "", how)
    how = f"{count * (QUIET - 1)} sessions in IDLE of users who do not come back"
    yield from spread(f"{name}: quiet sessions open", [one for each in outcomes for one in each.quiet], "", how)


def spread(name: str, seconds: Sequence[float], goal: str, how: str) -> Iterator[Figure]:
    """The least, the median and the most; the most is what a goal is about."""
    yield Figure(f"{name}, min", min(seconds), "s", "", how)
    yield Figure(f"{name}, median", statistics.median(seconds), "s", "", "the same")
    yield Figure(f"{name}, max", max(seconds), "s", goal, "the same")


def _words(texts: Sequence[str]) -> str:
    """What was said, each once; a few of them."""
    return "; ".join(sorted(set(texts))[:3]) or "none"
