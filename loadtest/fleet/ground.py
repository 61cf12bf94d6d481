"""What a fleet is let loose on: a site of our own with Vestibule before it, or a proxy that runs already."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loadtest.fleet.books import Presence
from loadtest.fleet.clients import Target
from loadtest.fleet.dovecot_log import LoginLog
from loadtest.fleet.scenario import Scenario
from loadtest.simulated import SimulatedBackend, Site, simulated
from loadtest.vestibule import Daemon, Plan, own_certificate, vestibule

FRONT = "127.0.0.1"

SESSIONS_PER_SOURCE = 50
"""Sessions that come from one loopback address."""

MOST_SOURCES = 10_000

LOG_LAG = 10.0
"""Seconds after which a backend has written everything to its log."""

_LETTERS = "abcd"


@dataclass(slots=True)
class Ground:
    """Where the fleet connects. `site` and `daemon` are None for a proxy that is not ours, whose backends may have
    `logs`; `pids` are those of whom the use of CPU and memory is told."""

    target: Target
    site: Site | None = None
    daemon: Daemon | None = None
    pids: dict[str, int] = field(default_factory=dict)
    logs: Sequence[LoginLog] = ()
    orders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def shards(self) -> dict[str, str]:
        """Backend -> its shard, as far as they are known."""
        if self.site is not None:
            return {name: place.shard for name, place in self.site.backends.items()}
        return {log.backend: "" for log in self.logs}

    @property
    def tells(self) -> bool:
        """Whether it is known who is at which backend."""
        return self.site is not None or bool(self.logs)

    def presences(self) -> tuple[list[Presence], float]:
        """Who came and went since the last call: everything up to a moment, which is told as well (monotonic)."""
        now = time.monotonic()
        if self.site is not None:
            return list(self.site.presence()), now
        return [presence for log in self.logs for presence in log.read()], now - LOG_LAG

    def order(self, *words: str) -> None:
        """Give the daemon's director an order, such as `drain s1a --yes`; nobody waits for what comes of it."""
        assert self.daemon is not None  # noqa: S101 (scenarios with events need a site of ours)
        command = [sys.executable, "-m", "proxy", *words, "--config", str(self.daemon.configuration)]
        self.orders.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        )

    def refused_orders(self) -> list[str]:
        """What was said of orders that failed; waits for those under way, half a minute each at most."""
        said = []
        for order in self.orders:
            try:
                _, words = order.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                order.kill()
                _, words = order.communicate()
            if order.returncode:
                said.append(words.decode(errors="replace").strip())
        self.orders.clear()
        return said


@contextmanager
def own_ground(scenario: Scenario) -> Iterator[Ground]:
    """Simulated backends, a directory and Vestibule, as the scenario wants them. Raises what they raise."""
    table = scenario.site
    shards = [f"s{number}" for number in range(1, table.shards + 1)]
    wanted = [SimulatedBackend(f"{shard}{letter}", shard) for shard in shards for letter in _LETTERS[: table.replicas]]
    with (
        tempfile.TemporaryDirectory(prefix="vestibule-fleet-") as name,
        simulated(wanted, processes=table.processes, pushes=table.pushes, replicated=True) as site,
    ):
        folder = Path(name)
        certificate = own_certificate(folder, [FRONT])
        with vestibule(folder, _plan(scenario, site, shards), certificate) as daemon:
            number = sources(scenario.sessions)
            target = Target(FRONT, dict(daemon.ports), "localhost", str(certificate.chain), number, known=True)
            yield Ground(target, site, daemon, {"vestibule": daemon.pid, **site.pids})


def sources(sessions: int) -> int:
    """From how many loopback addresses so many sessions come."""
    return max(16, min(MOST_SOURCES, -(-sessions // SESSIONS_PER_SOURCE)))


def _plan(scenario: Scenario, site: Site, shards: list[str]) -> Plan:
    places = site.backends.values()
    return Plan(
        listeners=dict.fromkeys(("imap", "pop3", "managesieve"), (FRONT, 0)),
        shards=[
            (shard, [(one.name, one.address, one.ports, 1) for one in places if one.shard == shard]) for shard in shards
        ],
        directory=site.directory,
        workers=scenario.site.workers,
        extra=scenario.site.extra,
    )
