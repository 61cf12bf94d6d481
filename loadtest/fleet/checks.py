"""What has to hold after a run, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from loadtest.fleet.books import Overlap
from loadtest.fleet.record import Record
from loadtest.fleet.scenario import Event, Scenario
from loadtest.report.model import Check

ALMOST_ALL = 0.95
"""So large a share of the sessions from before an event is everybody: some are always on their way."""

BEFORE = 5.0
"""Seconds before an event whose sessions are the measure."""

DONE = (
    "logins",
    "fetched",
    "appended",
    "pushed",
    "polled",
    "retrieved",
    "scripts",
    "wrong passwords refused",
    "pipelined",
    "audited users",
)
"""What counts as having been done, when errors are set in relation to it."""


def checks(
    scenario: Scenario, record: Record, overlaps: Sequence[Overlap] | None, refused_orders: Sequence[str] = ()
) -> Iterator[Check]:
    """All of them; `overlaps` are those longer than allowed, None when nobody could see who was where."""
    yield _content(scenario, record)
    if overlaps is not None:
        yield _one_backend(scenario, overlaps)
    yield _errors(scenario, record)
    if scenario.limits.cut_off:
        yield _cut_off(scenario, record)
    if scenario.limits.back:
        yield from (_back(scenario, record, event) for event in scenario.event if event.at < scenario.seconds)
    if scenario.limits.login_p99:
        yield _login(scenario, record)
    if refused_orders:
        yield Check("orders", False, "; ".join(refused_orders))


def baseline(scenario: Scenario, without: Sequence[Record], beside: Sequence[Record]) -> Check:
    """Whether hostile clients slow the others down: p99 of arrivals, the median of several runs with and without them.

    The median, because a burst of something else on the machine spoils the tail of one run.
    """
    name, most = "hostile clients slow nobody down", scenario.limits.baseline_p99
    quiet, loaded = p99s(without, "arrival"), p99s(beside, "arrival")
    if not quiet or not loaded:
        return Check(name, False, "nobody could log in")
    before, after = median(quiet), median(loaded)
    text = (
        f"p99 from the first packet until logged in, median of {len(loaded)} runs: {after * 1e3:.1f} ms beside hostile "
        f"clients ({ranged(loaded)}), {before * 1e3:.1f} ms without ({ranged(quiet)}): {after / before:.2f} times, "
        f"{most:g} allowed"
    )
    return Check(name, after <= before * most, text)


def p99s(records: Sequence[Record], phase: str) -> list[float]:
    """Of those runs in which the phase occurred, in seconds."""
    return [record.latencies[phase].quantile(0.99) for record in records if phase in record.latencies]


def ranged(seconds: Sequence[float]) -> str:
    """The least and the most of some seconds, in milliseconds."""
    return f"{min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f}"


def _content(scenario: Scenario, record: Record) -> Check:
    counts = record.counts
    text = (
        f"{counts['messages compared']:,} messages compared, {counts['scripts']:,} scripts; {counts['appended']:,} "
        f"written, {counts['audited messages']:,} of them found again in the end ({counts['audited users']:,} users)"
    )
    found = [f"{kind}: {fault.count:,}" for kind, fault in record.faults.items() if kind.startswith(("content", "a "))]
    return Check("content", not counts["violations"] and not found, "; ".join([text, *found]))


def _one_backend(scenario: Scenario, overlaps: Sequence[Overlap]) -> Check:
    if not overlaps:
        return Check("one backend for each user", True, f"nobody on two for longer than {scenario.limits.overlap:g} s")
    worst = max(overlaps, key=lambda one: one.seconds)
    text = f"{len(overlaps):,} times; {worst.user} was on {worst.first} and {worst.second} for {worst.seconds:.2f} s"
    return Check("one backend for each user", False, text)


def _errors(scenario: Scenario, record: Record) -> Check:
    errors = sum(fault.count for fault in record.faults.values())
    done = sum(record.counts[what] for what in DONE)
    explained = sum(fault.count for fault in record.disturbances.values())
    text = f"{errors:,} beside {done:,} things done" + (f"; {explained:,} explained by events" if explained else "")
    return Check("errors", done > 0 and errors <= scenario.limits.errors * (done + errors), text)


def _cut_off(scenario: Scenario, record: Record) -> Check:
    stayed = sum(fault.count for kind, fault in record.faults.items() if kind.startswith("hostile: "))
    number, longest = record.counts["cut off"], record.longest.get("cut off", 0.0)
    text = f"{number:,} cut off, after {longest:.1f} s at most; {scenario.limits.cut_off:g} s allowed"
    return Check("hostile clients are cut off", number > 0 and not stayed, text)


def _back(scenario: Scenario, record: Record, event: Event) -> Check:
    name = f"sessions are back after {event.do} {event.backend}".rstrip()
    seconds = back_after(record.inside(), event.at)
    if seconds is None:
        return Check(name, False, "not in the time of the run")
    most = scenario.limits.back
    return Check(name, seconds <= most, f"after {seconds:.0f} s, at most {most:g} s allowed")


def back_after(inside: Sequence[tuple[float, int]], at: float) -> float | None:
    """Seconds after a moment until (almost) as many sessions as before are there and stay; None if they never are."""
    before = [number for when, number in inside if at - BEFORE <= when < at]
    after = [(when, number) for when, number in inside if when >= at]
    if not before or not after:
        return None
    least = ALMOST_ALL * sum(before) / len(before)
    missing = [when for when, number in after if number < least]
    if not missing:
        return 0.0
    there = [when for when, _ in after if when > missing[-1]]
    return there[0] - at if there else None


def _login(scenario: Scenario, record: Record) -> Check:
    histogram = record.latencies.get("arrival")
    seconds = histogram.quantile(0.99) if histogram is not None else float("inf")
    most = scenario.limits.login_p99
    text = f"p99 from the first packet until logged in {seconds * 1e3:.0f} ms, at most {most * 1e3:.0f} ms allowed"
    return Check("login latency", seconds <= most, text)
