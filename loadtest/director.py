"""What the director does when something happens, and what it costs: `python -m loadtest.director`.

The whole daemon at default settings in front of simulated backends that are killed or fall silent; a real slapd whose
entries are changed; a backend with thousands of sessions that is drained; and the cost of saying where a user goes, in
memory and with a Redis. Needs the Debian packages slapd and redis-server, and no root.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from director import MEMORY
from loadtest.assign import cost_figures, memory_figures, redis_server
from loadtest.director_drain import drain_figures
from loadtest.director_failover import failover_figures
from loadtest.director_routes import route_figures
from loadtest.editor import EditFailed
from loadtest.figures import Figure, as_json, table, this_machine
from loadtest.slapd import SlapdFailed

ROUNDS = 5
"""Rounds of what is measured by processor time; the least counts."""


def _run(measurement: Coroutine[Any, Any, object]) -> object:
    """In a loop like that of the proxy's workers."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measurement)


def _failover(options: argparse.Namespace) -> list[Figure]:
    return failover_figures(_run, options.repetitions)


def _routes(options: argparse.Namespace) -> list[Figure]:
    return route_figures(_run, options.routes)


def _drain(options: argparse.Namespace) -> list[Figure]:
    return drain_figures(_run, options.users, options.sessions)


def _assign(options: argparse.Namespace) -> list[Figure]:
    figures = cost_figures("memory", MEMORY, options.visits, ROUNDS, ("<= 15", "<= 20"))
    with redis_server() as url:
        figures += cost_figures("Redis", url, options.visits, ROUNDS, ("<= 15", "<= 100"))
    return figures + memory_figures(options.assignments)


PARTS: Mapping[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "failover": _failover,
    "routes": _routes,
    "drain": _drain,
    "assign": _assign,
}


def measure(parts: Sequence[str], options: argparse.Namespace) -> Iterator[Figure]:
    """One part after the other, and of each what else the machine had to do. Raises SlapdFailed, and OSError."""
    for part in parts:
        began, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
        yield from PARTS[part](options)
        took = time.monotonic() - began
        others = max(0.0, (_busy_seconds() - busy) - (_own_seconds() - own)) / took
        how = f"on the average over the {took:.0f} s of this part"
        yield Figure(f"{part}: processors busy with others", others, "", "", how)


def _busy_seconds() -> float:
    """Processor time of the whole machine that was not idle (proc(5), /proc/stat: user, nice, system, ...)."""
    user, nice, system, _idle, _waiting, interrupts, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + interrupts + soft) / 100


def _own_seconds() -> float:
    """Processor time of this process and of all its children that have ended."""
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := sorted(set(parts) - PARTS.keys()):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return parts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code: 0 measured, 2 it could not be done."""
    parser = argparse.ArgumentParser(prog="loadtest.director", description="Measure the director with the daemon.")
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    for name, default, text in (
        ("repetitions", 5, "failures of each kind"),
        ("routes", 20, "users whose entry is changed"),
        ("users", 10_000, "users who are assigned to a backend that is drained"),
        ("sessions", 2_000, "of these, users with a session"),
        ("visits", 3_000, "assigns of a round"),
        ("assignments", 500_000, "assignments in memory"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    options = parser.parse_args(arguments)
    machine = this_machine()
    try:
        figures = list(measure(options.only, options))
    except (SlapdFailed, EditFailed, OSError) as failure:
        print(f"loadtest.director: {failure}", file=sys.stderr)
        return 2
    print(f"{machine}\n\n{table(figures)}")
    if options.json is not None:
        options.json.write_text(as_json(machine, figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
