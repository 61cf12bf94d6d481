"""The report of a run: what was seen as figures, series, latencies, errors, distribution and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from loadtest.figures import Figure, Machine
from loadtest.fleet.attendance import Attendance
from loadtest.fleet.record import Record
from loadtest.fleet.running import Outcome
from loadtest.fleet.scenario import Scenario
from loadtest.fleet.tally import PHASES
from loadtest.report.model import Check, ErrorCount, Latency, Report, Share

EXPLAINED = " (explained by an event)"

_COUNTS = (
    ("logins", "logins", "that succeeded, without those of hostile clients"),
    ("messages compared", "messages", "fetched or retrieved, and certified to be the right user's and whole"),
    ("appended", "messages", "written and acknowledged"),
    ("audited messages", "messages", "of these, found again at the end of the run"),
    ("retrieved", "messages", "by POP3"),
    ("scripts", "scripts", "by ManageSieve: uploaded, compared, listed, deleted"),
    ("pushed", "pushes", "announced to an idling client and fetched"),
    ("resumed", "handshakes", "of telephones that came back and resumed their TLS session"),
    ("not resumed", "handshakes", "of telephones whose TLS session was not resumed"),
    ("wrong passwords refused", "logins", ""),
    ("pipelined", "commands", "sent without waiting for answers"),
    ("cut off", "clients", "hostile ones that the server closed"),
    ("other mail", "messages", "that no load test has written: not compared"),
)


def report(
    scenario: Scenario,
    outcome: Outcome,
    checks: Sequence[Check],
    *,
    command: str,
    machine: Machine,
    shards: Mapping[str, str],
    more: Sequence[Figure] = (),
) -> Report:
    """All of a run; `shards` maps backends to their shard, `more` are figures of comparisons."""
    return Report(
        title=scenario.title,
        command=command,
        scenario=msgspec.json.decode(msgspec.json.encode(scenario)),
        began=outcome.began,
        seconds=outcome.seconds,
        machine=machine,
        figures=[*more, *_figures(scenario, outcome.record, outcome.seconds)],
        series=[*outcome.record.series(), *outcome.sampler.series()],
        latencies=list(latencies(outcome.record)),
        errors=list(errors(outcome.record)),
        distribution=distribution(outcome.attendance, shards),
        checks=list(checks),
        interrupted=outcome.interrupted,
    )


def distribution(attendance: Attendance, shards: Mapping[str, str]) -> list[Share]:
    """Sessions at most, and logins, of each backend."""
    return [
        Share(backend, shard, attendance.most[backend], attendance.logins[backend]) for backend, shard in shards.items()
    ]


def _figures(scenario: Scenario, record: Record, seconds: float) -> Iterator[Figure]:
    most = max((number for _, number in record.inside()), default=0)
    yield Figure(
        "sessions at once", most, "sessions", "", f"most that were logged in, of {scenario.sessions:,} clients"
    )
    yield Figure("login rate", record.counts["logins"] / max(seconds, 1e-9), "/s", "", "over the whole run")
    for what, unit, how in _COUNTS:
        if record.counts[what]:
            yield Figure(what, record.counts[what], unit, "", how)
    resumed, not_resumed = record.counts["resumed"], record.counts["not resumed"]
    if resumed + not_resumed:
        yield Figure("TLS resumption", 100 * resumed / (resumed + not_resumed), "%", "", "of telephones that came back")
    how = "p99 of each second's longest delay of a timer: what the fleet itself may have added to latencies"
    yield Figure("the fleet's own delay", record.late.quantile(0.99) * 1e3, "ms", "", how)


def latencies(record: Record) -> Iterator[Latency]:
    """Of the whole run, by phase."""
    return (record.latencies[phase].latency(phase) for phase in PHASES if phase in record.latencies)


def errors(record: Record) -> Iterator[ErrorCount]:
    """By kind, the most frequent first; then those that an event explains."""
    for faults, ending in ((record.faults, ""), (record.disturbances, EXPLAINED)):
        for kind, fault in sorted(faults.items(), key=lambda item: -item[1].count):
            yield ErrorCount(kind + ending, fault.count, fault.first, fault.example)
