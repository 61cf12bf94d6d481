"""The report of a scale test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from loadtest.figures import Figure, Machine
from loadtest.fleet.results import distribution, errors, latencies
from loadtest.report.model import Check, Latency, Report
from loadtest.scale.outcome import (
    End,
    Hold,
    Outcome,
    Step,
    cpu_of_a_login,
    kernel_of_a_session,
    memory_of_a_session,
    resting_before,
)
from loadtest.scale.plan import Plan

MEMORY = "PSS of all of Vestibule's processes, less that of the empty daemon, per session"
KERNEL = "slabs of the two sockets: half of what the sockets of the whole machine have grown by (/proc/slabinfo)"
LOGIN = "CPU of all of Vestibule's processes while these came, less what the sessions there used at rest, per login"
RESTING = "of all of Vestibule's processes, while nobody came"


def report(
    plan: Plan, outcome: Outcome, checks: Sequence[Check], *, machine: Machine, shards: Mapping[str, str]
) -> Report:
    """All of a run; `shards` maps backends to their shard."""
    return Report(
        title="Scale",
        command="scale",
        scenario=asdict(plan),
        began=outcome.began,
        seconds=outcome.seconds,
        machine=machine,
        figures=list(figures(outcome)),
        series=[*outcome.record.series(), *outcome.sampler.series()],
        latencies=list(_latencies(outcome)),
        errors=list(errors(outcome.record)),
        distribution=distribution(outcome.attendance, shards),
        checks=list(checks),
        interrupted=outcome.interrupted,
    )


def figures(outcome: Outcome) -> Iterator[Figure]:
    """Of the empty daemon, of each step, of the hold and of the end."""
    empty = outcome.empty
    yield Figure("fresh daemon", outcome.fresh / 1024, "MiB", "", "PSS of all its processes, before the first session")
    yield Figure("empty daemon", empty.pss / 1024, "MiB", "", "the same when a few sessions have come and gone")
    yield Figure("empty daemon: CPU", outcome.idle, "cores", "", RESTING)
    for number, step in enumerate(outcome.steps):
        yield from _step(outcome, number, step)
    if outcome.hold is not None:
        yield from _hold(outcome.hold)
    if outcome.end is not None:
        yield from _end(outcome.end)


def _step(outcome: Outcome, number: int, step: Step) -> Iterator[Figure]:
    at, kernel = f"at {step.wanted:,}:", kernel_of_a_session(step, outcome.empty)
    yield Figure(f"{at} memory of a session", memory_of_a_session(step, outcome.empty), "KiB", "", MEMORY)
    if kernel is not None:
        yield Figure(f"{at} kernel memory of a session", kernel, "KiB", "", KERNEL)
    login = cpu_of_a_login(step, resting_before(outcome, number)) * 1e6
    yield Figure(f"{at} CPU of a login", login, "µs", "", LOGIN)
    yield Figure(f"{at} login rate", step.rate, "/s", "", f"{step.opened:,} logins in {step.seconds:.1f} s")
    yield Figure(f"{at} CPU at rest", step.resting, "cores", "", RESTING)
    yield Figure(f"{at} descriptors", step.census.most, "", "", "of the process that has most of them")


def _hold(hold: Hold) -> Iterator[Figure]:
    yield Figure("held: CPU", hold.cores, "cores", "", f"over {hold.seconds:.0f} s")
    yield Figure("held: messages", hold.pushed, "messages", "", "arrived at an idling session, fetched and compared")
    yield Figure("held: sessions at the end", hold.sessions, "sessions", "", "")


def _end(end: End) -> Iterator[Figure]:
    if end.emptied is not None:
        yield Figure(
            "closed: counters at 0 after", end.emptied, "s", "", "all clients left at once; looked at every 2 s"
        )
    if end.returned is not None:
        yield Figure("closed: memory back after", end.returned, "s", "", "looked at every 2 s")
    yield Figure("closed: memory", end.census.pss / 1024, "MiB", "", "PSS of all of Vestibule's processes")
    yield Figure("closed: descriptors", end.census.all_together, "", "", "of all of Vestibule's processes")


def _latencies(outcome: Outcome) -> Iterator[Latency]:
    before = 0
    for step in outcome.steps:
        if step.arrivals.count:
            yield step.arrivals.latency(f"arrival, {before:,} to {step.wanted:,}")
        before = step.wanted
    if outcome.hold is not None and outcome.hold.pushes.count:
        yield outcome.hold.pushes.latency("push, while held")
    yield from latencies(outcome.record)
