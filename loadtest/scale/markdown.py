"""A scale test as Markdown: one table of its steps, and what became of the hold, the end and the checks."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.figures import Machine, shown
from loadtest.report.amounts import duration
from loadtest.report.model import Report
from loadtest.scale.holding import AT_ONCE
from loadtest.scale.outcome import (
    Outcome,
    Step,
    cpu_of_a_login,
    kernel_of_a_session,
    memory_of_a_session,
    resting_before,
)
from loadtest.scale.plan import Plan
from loadtest.scale.results import KERNEL, LOGIN, MEMORY, RESTING

HEADS = (
    "sessions",
    "memory of one",
    "kernel memory of one",
    "CPU of a login",
    "logins/s",
    "arrival p50 / p99",
    "CPU at rest",
    "descriptors of a process",
)


def markdown(plan: Plan, outcome: Outcome, report: Report) -> str:
    """The whole of it."""
    return "\n".join(
        [
            *_steps(outcome),
            "",
            *_words(plan, outcome),
            "",
            *(f"- {'held' if check.held else '**FAILED**'}: {check.name}: {check.text}" for check in report.checks),
            "",
            *_notes(plan, report.machine),
            "",
        ]
    )


def _steps(outcome: Outcome) -> Iterator[str]:
    yield f"| {' | '.join(HEADS)} |"
    yield f"|{'---|' * len(HEADS)}"
    for number, step in enumerate(outcome.steps):
        yield f"| {' | '.join(_cells(outcome, number, step))} |"


def _cells(outcome: Outcome, number: int, step: Step) -> Iterator[str]:
    kernel = kernel_of_a_session(step, outcome.empty)
    yield f"{step.sessions:,}"
    yield f"{memory_of_a_session(step, outcome.empty):.1f} KiB"
    yield f"{kernel:.1f} KiB" if kernel is not None else ""
    yield f"{cpu_of_a_login(step, resting_before(outcome, number)) * 1e6:,.0f} µs"
    yield f"{step.rate:,.0f}"
    yield " / ".join(duration(step.arrivals.quantile(q)) for q in (0.5, 0.99))
    yield f"{step.resting:.2f} cores"
    yield f"{step.census.most:,}"


def _words(plan: Plan, outcome: Outcome) -> Iterator[str]:
    yield (
        f"- the daemon with {plan.workers} workers: {outcome.fresh / 1024:.0f} MiB when it was fresh, "
        f"{outcome.empty.pss / 1024:.0f} MiB when a few sessions had come and gone, which is what counts as empty"
    )
    if (hold := outcome.hold) is not None:
        late = " / ".join(duration(hold.pushes.quantile(q)) for q in (0.5, 0.99))
        yield (
            f"- held for {duration(hold.seconds)}: {hold.sessions:,} sessions at the end, "
            f"{hold.cores:.2f} cores, {hold.pushed:,} messages fetched and compared, "
            f"p50 / p99 {late} after the backend had them"
        )
    if (end := outcome.end) is not None:
        emptied, returned = (
            duration(at) if at is not None else "longer than was waited" for at in (end.emptied, end.returned)
        )
        yield (
            f"- closed all at once: counters at 0 after {emptied}, memory back after {returned}: "
            f"{end.census.pss / 1024:.0f} MiB, {shown(end.census.all_together)} descriptors"
        )


def _notes(plan: Plan, machine: Machine) -> Iterator[str]:
    yield f"Memory: {MEMORY}."
    yield f"Kernel memory: {KERNEL}."
    yield f"CPU of a login: {LOGIN}."
    yield f"Arrival: from the first packet until logged in, with {AT_ONCE} logins under way all the time."
    yield f"CPU at rest: {RESTING}; a message arrives for each session every {plan.push_every:g} s on average."
    yield f"The machine: {machine}."
