"""What is measured, part by part: what the clients do, what is read off the product meanwhile, and in which words.

A part yields one value for each of its measures. Processor time is that of all processes of the product by the kernel's
account, memory their proportional set size (PSS); backend, directory and clients are processes apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loadtest.compare.client import MOVED, Outcome, Place
from loadtest.compare.clients import Clients
from loadtest.compare.product import Product, Running
from loadtest.figures import percentile

GIBIBYTE = 1 << 30

RECORD = 1400
"""Bytes of a small TLS record: about what fits into a packet of an Ethernet."""

FEW, MANY, CROWD = 1, 20, 50
"""Sessions that are busy at once: with bulk one or many, with NOOP one or a crowd."""

LOGINS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured; `idle` are the two numbers of idle sessions, `gibibytes` and `small` are for one round.

    `settle` is how many seconds pass before a figure is read: logs are written and the last logins forgotten by then.
    """

    rounds: int = 5
    logins: int = 2000
    idle: tuple[int, int] = (2000, 8000)
    noops: int = 10_000
    gibibytes: float = 1.0
    small: float = 0.125
    storm: int = 5000
    settle: float = 0.5


FULL = Scale()
QUICK = Scale(rounds=1, logins=500, idle=(500, 2000), noops=2000, gibibytes=0.25, small=0.03, storm=1000)


@dataclass(frozen=True, slots=True)
class Bench:
    """A running product, the clients, and where they find the product and, beside it, the backend itself.

    `remarks` takes what has to be said of the values beside them.
    """

    product: Product
    running: Running
    clients: Clients
    backend: Place
    scale: Scale
    remarks: list[str] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Where the product listens."""
        return Place(self.running.port)

    def cpu(self, action: Callable[[], Outcome]) -> tuple[float, Outcome]:
        """Processor seconds of the product while something is done, and what the clients say. Raises Refused."""
        before = self.running.cpu_seconds()
        outcome = action()
        self.settle()
        return self.running.cpu_seconds() - before, whole(outcome)

    def settle(self) -> None:
        """Let the product come to rest."""
        time.sleep(self.scale.settle)

    def open(self, count: int) -> None:
        """Sessions that are logged in, for use. Raises Refused."""
        whole(self.clients.open(self.place, count, LOGINS_AT_ONCE))

    def close(self) -> None:
        """All sessions end."""
        self.clients.all("close")
        self.settle()


class Refused(Exception):
    """A client was refused where none may be; the text is what it was told."""


def whole(outcome: Outcome) -> Outcome:
    """The outcome, if nobody was refused. Raises Refused."""
    if outcome.refused:
        raise Refused(f"{outcome.refused} clients were refused: {outcome.reasons[0]}")
    return outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure: its name, its unit, our goal for it, and how it is taken."""

    name: str
    unit: str
    how: str
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured together. `rows` are the measures at this scale, `take` their values in the same order.

    `fresh`: the product is started for it alone, because what it did before would be seen.
    """

    rows: Callable[[Scale], tuple[Row, ...]]
    take: Callable[[Bench], tuple[float, ...]]
    fresh: bool = False


def warm_up(bench: Bench) -> None:
    """Some logins, so that what a product makes once is made. Raises Refused."""
    whole(bench.clients.visit(bench.place, 100, LOGINS_AT_ONCE))


# --- login ---


def _login_rows(scale: Scale) -> tuple[Row, ...]:
    how = f"{scale.logins:,} by {LOGINS_AT_ONCE} clients of one process: connect, full TLS 1.3 handshake, LOGIN, LOGOUT"
    until = f"in the same round: from connect until the OK of LOGIN, {LOGINS_AT_ONCE} at once"
    return (
        Row(name="login", unit="µs CPU", goal=410, how=how),
        Row(name="login, p50", unit="ms", how=until),
        Row(name="login, p99", unit="ms", how=until),
    )


def _login(bench: Bench) -> tuple[float, ...]:
    count = bench.scale.logins
    spent, outcome = bench.cpu(lambda: bench.clients.visit(bench.place, count, LOGINS_AT_ONCE))
    return spent / count * 1e6, *(percentile(outcome.seconds, percent) * 1e3 for percent in (50, 99))


# --- memory ---


def _idle_rows(scale: Scale) -> tuple[Row, ...]:
    few, many = scale.idle
    how = (
        "sessions of as many users in IDLE over TLS; PSS less that before them, by their number; started anew; "
        "one with a process for each is measured with fewer (see there)"
    )
    after = f"the same after each has moved {MOVED // 1024} KiB each way, and is idle again"
    return (
        Row(name=f"idle session, one of {few:,}", unit="KiB", goal=15, how=how),
        Row(name=f"idle session, one of {many:,}", unit="KiB", goal=15, how=how),
        Row(name=f"idle session, one of {many:,}, after traffic", unit="KiB", goal=15, how=after),
    )


def _idle(bench: Bench) -> tuple[float, ...]:
    """One with a process for each session is measured with fewer: its memory grows by the same with each."""
    few, many = (min(count, bench.product.most_idle or count) for count in bench.scale.idle)
    bench.settle()
    empty = bench.running.pss_kib()
    first = _pss_with(bench, few, already=0) - empty
    second = _pss_with(bench, many, already=few) - empty
    whole(bench.clients.all("move"))
    bench.settle()
    third = bench.running.pss_kib() - empty
    bench.close()
    return first / few, second / many, third / many


def _pss_with(bench: Bench, count: int, already: int) -> int:
    if count > already:
        whole(bench.clients.open(bench.place, count - already, LOGINS_AT_ONCE, idle=True, first=already))
    bench.settle()
    return bench.running.pss_kib()


# --- small round trips ---


def _noop_rows(scale: Scale) -> tuple[Row, ...]:
    few, crowd = _noops_each(scale, FEW), _noops_each(scale, CROWD)
    return (
        Row(name="NOOP, 1 session", unit="µs CPU", how=f"{few:,} one after the other"),
        Row(
            name="NOOP, added latency",
            unit="µs",
            how="p50 of the same, less that of a session with the backend itself without TLS",
        ),
        Row(
            name=f"NOOP, {CROWD} sessions", unit="µs CPU", goal=14, how=f"{crowd:,} by each of {CROWD} sessions at once"
        ),
    )


def _noops_each(scale: Scale, sessions: int) -> int:
    return max(1, scale.noops // sessions)


def _noop(bench: Bench) -> tuple[float, ...]:
    whole(bench.clients.open(bench.backend, FEW, 1))
    direct = whole(bench.clients.all("noop", each=_noops_each(bench.scale, FEW)))
    bench.clients.all("close")
    one, through = _noops(bench, FEW)
    many, _ = _noops(bench, CROWD)
    added = percentile(through.seconds, 50) - percentile(direct.seconds, 50)
    return one * 1e6, added * 1e6, many * 1e6


def _noops(bench: Bench, sessions: int) -> tuple[float, Outcome]:
    """Processor seconds of one."""
    bench.open(sessions)
    spent, outcome = bench.cpu(lambda: bench.clients.all("noop", each=_noops_each(bench.scale, sessions)))
    bench.close()
    return spent / len(outcome.seconds), outcome


# --- bulk ---


def _bulk_rows(scale: Scale) -> tuple[Row, ...]:
    return tuple(
        Row(
            name=f"bulk to the {end}, {sessions} session{'s' if sessions > 1 else ''}",
            unit="CPU s/GiB",
            goal=0.85,
            how=f"{scale.gibibytes:g} GiB in writes of 64 KiB by {'all together' if sessions > 1 else 'one session'}",
        )
        for sessions in (FEW, MANY)
        for end in ("client", "backend")
    )


def _bulk(bench: Bench) -> tuple[float, ...]:
    values = []
    for sessions in (FEW, MANY):
        bench.open(sessions)
        values += [_transfer(bench, method, sessions, bench.scale.gibibytes) for method in ("receive", "send")]
        bench.close()
    return tuple(values)


def _transfer(bench: Bench, method: str, sessions: int, gibibytes: float, **words: int) -> float:
    """Processor seconds for each GiB."""
    size = int(gibibytes * GIBIBYTE) // sessions
    spent, _ = bench.cpu(lambda: bench.clients.all(method, size=size, **words))
    return spent / (size * sessions / GIBIBYTE)


def _record_rows(scale: Scale) -> tuple[Row, ...]:
    how = f"{scale.small:g} GiB by one session in TLS records of {RECORD:,} bytes"
    return (Row(name="small records to the backend", unit="CPU s/GiB", how=how),)


def _records(bench: Bench) -> tuple[float, ...]:
    bench.open(FEW)
    value = _transfer(bench, "send", FEW, bench.scale.small, chunk=RECORD)
    bench.close()
    return (value,)


# --- a storm ---


def _storm_rows(scale: Scale) -> tuple[Row, ...]:
    how = f"{scale.storm:,} clients of two processes connect at the same moment and log in as {scale.storm:,} users"
    name = f"storm of {scale.storm:,}"
    return (
        Row(name=name, unit="s", goal=2.9, how=f"{how}; until the last of them is in"),
        Row(name=f"{name}, refused", unit="clients", goal=0, how="of these, closed or not served in two minutes"),
    )


def _storm(bench: Bench) -> tuple[float, ...]:
    began = time.monotonic()
    outcome = bench.clients.open(bench.place, bench.scale.storm, bench.scale.storm)
    bench.close()
    if not outcome.seconds:
        raise Refused(f"all clients were refused: {outcome.reasons[0]}")
    if outcome.refused:
        bench.remarks.append(f"{outcome.refused:,} clients were refused: {outcome.reasons[0]}")
    return outcome.last - began, float(outcome.refused)


PARTS: Mapping[str, Part] = {
    "login": Part(_login_rows, _login),
    "idle": Part(_idle_rows, _idle, fresh=True),
    "noop": Part(_noop_rows, _noop),
    "bulk": Part(_bulk_rows, _bulk),
    "records": Part(_record_rows, _records),
    "storm": Part(_storm_rows, _storm),
}
