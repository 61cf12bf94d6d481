"""What has to hold after a scale test, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.report.amounts import duration
from loadtest.report.model import Check
from loadtest.scale.outcome import (
    BACK,
    JUDGED,
    JUDGED_RETURN,
    End,
    Outcome,
    Step,
    bound_of_return,
    memory_of_a_session,
)
from loadtest.scale.plan import Plan

MIDDLE = 5_000
"""The step nearest to so many is the measure for the last one."""

GROWTH = 1.10
"""Memory of a session at the last step, divided by that at the middle one, at most."""

CONNECTIONS = 9
"""Descriptors of a worker that may have come to stay: connections to the directory, as many as its default keeps."""


def checks(plan: Plan, outcome: Outcome) -> Iterator[Check]:
    """All of them, without those that an interruption or a small number of sessions leaves open."""
    if not outcome.interrupted:
        yield _opened(plan, outcome)
    yield _dropped(outcome)
    yield _content(outcome)
    if (middle := _middle(outcome)) is not None:
        yield _growth(middle, outcome.steps[-1], outcome)
    yield from _end(plan, outcome)


def _opened(plan: Plan, outcome: Outcome) -> Check:
    failed = outcome.record.counts["not opened"]
    text = f"{outcome.most:,} of {plan.last:,} sessions at once, {failed:,} logins failed"
    return Check("all sessions opened", outcome.most == plan.last and not failed, text)


def _dropped(outcome: Outcome) -> Check:
    dropped = outcome.record.counts["dropped"]
    held = f" in {duration(outcome.hold.seconds)} of holding and before" if outcome.hold else ""
    return Check("no session dropped", not dropped, f"{dropped:,} dropped{held}")


def _content(outcome: Outcome) -> Check:
    counts = outcome.record.counts
    wrong = counts["violations"]
    return Check("content", not wrong, f"{counts['messages compared']:,} messages compared, {wrong:,} wrong")


def _middle(outcome: Outcome) -> Step | None:
    """What the last step is compared with; None when there is nothing."""
    steps = [step for step in outcome.steps if step.sessions >= JUDGED]
    before = [step for step in steps if step is not outcome.steps[-1]]
    return min(before, key=lambda step: abs(step.sessions - MIDDLE), default=None)


def _growth(middle: Step, last: Step, outcome: Outcome) -> Check:
    there, then = (memory_of_a_session(step, outcome.empty) for step in (last, middle))
    text = (
        f"{there:.1f} KiB at {last.sessions:,}, {then:.1f} KiB at {middle.sessions:,}: "
        f"{100 * (there / then - 1) if then else 0:+.1f} %, allowed {100 * (GROWTH - 1):+.0f} %"
    )
    return Check("a session costs the same at any number", there <= GROWTH * then, text)


def _end(plan: Plan, outcome: Outcome) -> Iterator[Check]:
    end, empty = outcome.end, outcome.empty
    if end is None:
        return
    still = ", ".join(f"{name}: {value:g}" for name, value in end.left.items())
    done = f"after {duration(end.emptied)}" if end.emptied is not None else "not in time"
    yield Check("counters return to 0", not end.left and end.emptied is not None, still or done)
    if outcome.most >= JUDGED_RETURN:
        yield _return(end, outcome)
    more = end.census.all_together - empty.all_together
    text = f"{end.census.all_together:,}, {empty.all_together:,} before the first session"
    yield Check("descriptors return", more <= CONNECTIONS * plan.workers, text)


def _return(end: End, outcome: Outcome) -> Check:
    most = max(step.census.pss for step in outcome.steps) / 1024
    after, empty, bound = end.census.pss / 1024, outcome.empty.pss / 1024, bound_of_return(outcome) / 1024
    back = f"after {duration(end.returned)}" if end.returned is not None else "not in time"
    text = (
        f"from {most:,.0f} MiB to {after:,.0f}; {empty:,.0f} before the first session; "
        f"{100 * BACK:.0f} % of the difference ({bound:,.0f} MiB) {back}"
    )
    return Check("memory returns", end.returned is not None, text)
