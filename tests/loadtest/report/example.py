"""A report as a run could have written it, made up."""

from __future__ import annotations

import math
import random
from functools import cache
from xml.etree import ElementTree

from loadtest.figures import Figure, Machine
from loadtest.report.latency import LatencyHistogram
from loadtest.report.model import Check, ErrorCount, Latency, Measure, Report, Series, Share, Spread

MACHINE = Machine(processors=4, python="3.11.2", additions=38.4, sha512=612.0, load=0.21)
PRODUCTS = ("Vestibule", "HAProxy", "nginx", "Dovecot", "Perdition")


def parsed(svg: str) -> ElementTree.Element:
    """A drawing of ours as elements; that it is well-formed is part of every test that asks."""
    return ElementTree.fromstring(svg)  # noqa: S314


@cache
def report(*, seed: int = 7, slower: float = 1.0, held: bool = True) -> Report:
    """Three minutes with the death of a backend in the middle; `slower` stretches latencies and CPU."""
    chance = random.Random(seed)
    seconds = [float(second) for second in range(0, 181, 2)]
    sessions = [1900 * (1 - math.exp(-second / 12)) * (0.62 if 90 <= second < 93 else 1) for second in seconds]
    return Report(
        title="reconnect: 2,000 sessions, a backend dies",
        command="vestibule loadtest run reconnect --sessions 2000 --seconds 180",
        scenario={
            "users": 500_000,
            "sessions": 2000,
            "seed": 42,
            "arrivals": {"kind": "ramp", "seconds": 30},
            "behaviours": {"idle": 0.6, "read": 0.2, "phone": 0.1, "drain": 0.1},
        },
        began=1_790_000_000.0,
        seconds=180.0,
        machine=MACHINE,
        figures=[
            Figure("logins", 41233.0, "", "", "all that succeeded"),
            Figure("sessions at most", 1900.0, "", "", ""),
            Figure("login CPU", 0.392 * slower, "ms", "<= 0.41", "the daemon's whole process tree / logins"),
            Figure("login p99", 18.2 * slower, "ms", "", "from connect to OK"),
            Figure("idle session", 14.1, "KiB", "<= 15", "PSS at 2,000 sessions less PSS before / sessions"),
            Figure("mail compared", 60214.0, "", "", "every message fetched, against what was stored"),
            Figure("resumed", 91.4, "%", "", "of the phones' TLS sessions"),
        ],
        series=[
            *_load(seconds, sessions, chance),
            *_latency(seconds, chance, slower),
            *_machine(seconds, chance, slower),
        ],
        latencies=list(_phases(chance, slower)),
        errors=[
            ErrorCount("disconnected", 412, 90.2, "imap.idle: connection reset by peer"),
            ErrorCount("refused", 7, 90.4, 'a1 NO [UNAVAILABLE] "<b>try again</b>" & later\r\n'),
        ],
        distribution=[
            Share(f"imap-{shard}{half}", f"shard-{shard}", chance.randint(150, 260), chance.randint(4000, 6000))
            for shard in range(1, 5)
            for half in "ab"
        ],
        checks=[
            Check("one backend per user", True, "41,233 logins, no user on two backends longer than 2 s"),
            Check("mail is intact", True, "60,214 messages compared, all intact and the right user's"),
            Check("everybody is back", held, "1,900 of 1,900 within 2.8 s" if held else "1,871 of 1,900 within 10 s"),
        ],
        measures=measures(chance) if seed == 8 else [],
    )


def measures(chance: random.Random) -> list[Measure]:
    """As a comparison with peers could have taken them."""
    table = (
        ("Login CPU", "ms per login", 0.41, (0.392, 0.38, 0.54, 0.78, 3.9)),
        ("Idle session", "KiB, PSS at 8,000 sessions", 15.0, (14.1, 17.3, 23.3, 69.8, 556.0)),
        ("NOOP, 50 sessions", "µs CPU", 14.0, (13.2, 15.1, 13.9, 39.0, 31.0)),
        ("Download", "CPU s per GiB", 0.85, (0.84, 0.90, 1.48, 10.3, 4.4)),
        ("Upload", "CPU s per GiB", 0.85, (0.83, 0.92, 0.94, 2.6, 2.5)),
        ("5,000 clients at once", "s until all are logged in", 2.9, (2.7, 2.9, 3.7, 3.7, 15.0)),
        ("Logins a second", "one core", None, (2551.0, 2631.0, 1851.0, 1282.0, 256.0)),
    )
    return [
        Measure(
            name,
            unit,
            goal is not None,
            goal,
            {
                product: Spread(value, value * chance.uniform(0.93, 1), value * chance.uniform(1, 1.08))
                for product, value in zip(PRODUCTS, values, strict=True)
            },
            "median of 7 interleaved rounds",
        )
        for name, unit, goal, values in table
    ]


def _load(seconds: list[float], sessions: list[float], chance: random.Random) -> list[Series]:
    return [
        Series("logged in", "sessions", "", seconds, [round(count) for count in sessions]),
        Series(
            "connecting",
            "sessions",
            "",
            seconds,
            [round(90 * math.exp(-s / 12) + (300 if 90 <= s < 93 else 0)) for s in seconds],
        ),
        Series("hostile", "sessions", "", seconds, [min(200.0, 8 * s) for s in seconds]),
        Series(
            "logins",
            "logins",
            "per s",
            seconds,
            [chance.gauss(220, 12) + (480 if 90 <= s < 94 else 0) for s in seconds],
        ),
        Series("refused", "logins", "per s", seconds, [abs(chance.gauss(3, 2)) for s in seconds]),
        Series("down", "transfer", "MiB/s", seconds, [chance.gauss(38, 3) for _ in seconds]),
        Series("up", "transfer", "MiB/s", seconds, [chance.gauss(6, 1) for _ in seconds]),
        Series("disconnected", "errors", "per s", seconds, [180.0 if 90 <= s < 92 else 0.0 for s in seconds]),
    ]


def _latency(seconds: list[float], chance: random.Random, slower: float) -> list[Series]:
    return [
        Series(
            f"login {name}", "latency", "s", seconds,
            [base * slower * chance.lognormvariate(0, 0.12) * (6 if 90 <= s < 95 else 1) for s in seconds],
        )
        for name, base in (("p50", 0.0042), ("p90", 0.0088), ("p99", 0.0182))
    ]  # fmt: skip


def _machine(seconds: list[float], chance: random.Random, slower: float) -> list[Series]:
    names = {
        "vestibule": 0.004,
        "vestibule-w0": 0.32,
        "vestibule-w1": 0.30,
        "vestibule-dir": 0.07,
        "vestibule-mir": 0.01,
        "fleet": 0.6,
    }
    found = []
    for name, cores in names.items():
        busy = [max(0.0, chance.gauss(cores, cores / 12) * slower * (2 if 90 <= s < 94 else 1)) for s in seconds]
        memory = [(18 + cores * 120) * (1 - 0.4 * math.exp(-s / 14)) for s in seconds]
        found += [
            Series(name, "cpu", "cores", seconds, busy),
            Series(name, "memory", "MiB", seconds[::5], memory[::5]),
            Series(f"{name} (RSS)", "memory", "MiB", seconds, [value + 21 for value in memory]),
        ]
    return found


def _phases(chance: random.Random, slower: float) -> list[Latency]:
    table = {
        "connect": 0.0001,
        "tls": 0.0021,
        "greeting": 0.0003,
        "login": 0.0038,
        "select": 0.0009,
        "noop": 0.0002,
        "fetch": 0.0016,
        "append": 0.0028,
        "push": 0.011,
    }
    found = []
    for phase, median in table.items():
        histogram = LatencyHistogram()
        for _ in range(1200):
            histogram.add(median * slower * chance.lognormvariate(0, 0.6))
        found.append(histogram.latency(phase))
    return found
