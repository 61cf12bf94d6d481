"""What it costs to say where a user goes: `python -m loadtest.assign`.

A worker's client of the director in this process, the director of a node in another, the socket between them as in
production; in memory, and with a Redis of its own on loopback. CPU time of both processes is told apart, and of the
beginning of a session and its end. Needs no root.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes import c_double
from multiprocessing.sharedctypes import RawValue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, NamedTuple

import uvloop

from director import (
    LINGER,
    MEMORY,
    Backend,
    BackendSettings,
    Client,
    Core,
    DirectorSettings,
    Lease,
    Service,
    Shards,
    ShardSettings,
    near_store,
    open_store,
)
from loadtest.figures import Figure, table, this_machine
from loadtest.usage import cpu_seconds, pss_kib

MANY = 64
"""Sessions that begin or end at once in a busy worker."""

SHARD = "s1"

PATIENCE = 60.0
"""Seconds that anything may take to start, and a lease to come."""

_AT_REST = 0.1
"""Seconds between two looks at a director that may still have something to do."""

_COME_AND_GO: Final = 5_000
"""Users who are there at once while assignments are made: no more than limits allow."""

_MEBIBYTE = 1 << 20
_LIFE = "measured/00000000"
_SHARDS = Shards(
    [
        ShardSettings(
            name=SHARD,
            backend=(
                BackendSettings(name="mb1a", host="mb1a.example", priority=1),
                BackendSettings(name="mb1b", host="mb1b.example", priority=2),
            ),
        )
    ]
)


class Cost(NamedTuple):
    """CPU seconds of one session, in each process."""

    worker: float
    director: float


class Costs(NamedTuple):
    """What the beginning of a session costs, and its end."""

    assign: Cost
    release: Cost


class DirectorProcess:
    """A node's director with its assignments in `store`, alive inside `with`; workers reach it at `path`."""

    def __init__(self, store: str = MEMORY) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vestibule-bench-"))
        self.path = str(self._home / "director.sock")
        settings = DirectorSettings(store=store, max_assignments=10_000_000, heartbeat=0.2, node_timeout=20.0)
        forked = multiprocessing.get_context("fork")  # as the supervisor makes it
        self._ready = forked.Event()
        self._ahead = RawValue("d", 0.0)
        arguments = (settings, self.path, self._home / "backends.json", self._ready, self._ahead)
        self._process = forked.Process(target=_live, args=arguments)

    def __enter__(self) -> DirectorProcess:
        self._process.start()
        if not self._ready.wait(PATIENCE):
            self._end()
            raise TimeoutError("the director did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process.pid is not None  # noqa: S101 (a mistake in our own code)
        return self._process.pid

    def forget(self) -> None:
        """Time passes for the director, in which nobody has come back: it holds no user for whom there is no session.

        Returns when it is at rest again."""
        self._ahead.value += LINGER + 1
        spent, before = cpu_seconds(self.pid), -1.0
        while spent - before > _AT_REST / 50:
            time.sleep(2 * _AT_REST)
            spent, before = cpu_seconds(self.pid), spent


def _live(settings: DirectorSettings, path: str, state_file: Path, ready: Event, ahead: c_double) -> None:
    gc.freeze()  # as in production
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_direct(settings, path, state_file, ready, lambda: time.monotonic() + ahead.value))
    os._exit(0)


async def _direct(
    settings: DirectorSettings, path: str, state_file: Path, ready: Event, clock: Callable[[], float]
) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    store = open_store(settings, state_file)
    core = Core(_LIFE, settings, _SHARDS, workers=1, now=clock(), near=near_store(store))
    service = Service(core, store, clock, life=_LIFE, settings=settings, shards=_SHARDS, probe=_is_well)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        async with service:
            await service.accept(listening)
            ready.set()
            await told.wait()


async def _is_well(_: Backend) -> str:
    return ""


class Worker:
    """What a worker has of the director: a client, in an event loop of its own, alive inside `with`."""

    def __init__(self, director: DirectorProcess) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._director = director

    def __enter__(self) -> Worker:
        self._runner.__enter__()
        self._runner.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    async def _start(self) -> None:
        name = f"0/{os.getpid()}/{random.getrandbits(32):08x}"
        self._client = Client(self._director.path, name, 0, time.monotonic, wait=PATIENCE)
        self._client.start()
        await _visit(self._client, "first")

    def stay(self, users: Iterable[str]) -> None:
        """Give each of the users a session that stays."""
        self._runner.run(_arrivals(self._client, users, MANY))

    def cost(self, users: Sequence[str], at_once: int, *, forget: bool = False) -> Costs:
        """The mean over one session of each user: so many of them begin at once, and end at once when all are there.

        `forget`: the end of a session is not over before nothing is held for it any more.
        """
        leases, assign = self._measure(_arrivals(self._client, users, at_once), len(users))
        _, release = self._measure(_departures(self._client, leases, at_once), len(users))
        if forget:
            before = cpu_seconds(self._director.pid)
            self._director.forget()
            late = (cpu_seconds(self._director.pid) - before) / len(users)
            release = Cost(release.worker, release.director + late)
        return Costs(assign, release)

    def _measure(self, what: Coroutine[None, None, list[Lease]], count: int) -> tuple[list[Lease], Cost]:
        own, others = time.process_time(), cpu_seconds(self._director.pid)
        leases = self._runner.run(what)
        others = cpu_seconds(self._director.pid) - others
        return leases, Cost((time.process_time() - own) / count, others / count)


async def _arrivals(client: Client, users: Iterable[str], at_once: int) -> list[Lease]:
    """Each takes the next user when the last one is there."""
    waiting, leases = iter(users), []

    async def arrive() -> None:
        for user in waiting:
            leases.append(await _arrive(client, user))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(arrive())
    return leases


async def _departures(client: Client, leases: list[Lease], at_once: int) -> list[Lease]:
    """So many end in each turn of the loop; over when the director has heard of all."""
    for first in range(0, len(leases), at_once):
        for lease in leases[first : first + at_once]:
            client.release(lease)
        await asyncio.sleep(0)
    await _visit(client, "last")
    return []


async def _visit(client: Client, user: str) -> None:
    client.release(await _arrive(client, user))


async def _arrive(client: Client, user: str) -> Lease:
    address = f"192.0.2.{hash(user) % 256}"
    return await client.assign(user, SHARD, "", address=address, protocol="imap", session="measured", on_kick=_on_kick)


def _on_kick(reason: str, now: bool) -> None:
    """Nobody is kicked here."""


@contextmanager
def redis_server() -> Iterator[str]:
    """The address of a Redis that keeps nothing. Raises FileNotFoundError if there is no redis-server here."""
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
    with socket.create_server((address, 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--bind", address, "--port", str(port), "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-") as home:
        process = subprocess.Popen(["redis-server", *options, "--dir", home], stdout=subprocess.DEVNULL)
        try:
            _wait_for(address, port)
            yield f"redis://{address}:{port}"
        finally:
            process.kill()
            process.wait()


def _wait_for(address: str, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection((address, port), PATIENCE):
            return
        time.sleep(0.01)
    raise TimeoutError("redis-server did not start")


# --- what is measured ---


def cost_figures(where: str, store: str, count: int, rounds: int, goals: tuple[str, str]) -> list[Figure]:
    """Sessions of users who are assigned already; the least of the rounds counts, `goals` are for the beginning.

    They come after a while in which the director has let them go, within seconds after they have left, or while they
    have another session.
    """
    names = [f"user{number}" for number in range(count)]
    with DirectorProcess(store) as director, Worker(director) as worker:
        worker.cost(names, MANY, forget=True)
        some = [*_rounds(worker, f"{where}, after a while", names, rounds, goals, forget=True)]
        worker.cost(names, MANY)
        some += _rounds(worker, f"{where}, within seconds", names, rounds, goals)
        worker.stay(names)
        return [*some, *_rounds(worker, f"{where}, one more session", names, rounds, goals)]


def _rounds(
    worker: Worker, where: str, names: Sequence[str], rounds: int, goals: tuple[str, str], *, forget: bool = False
) -> Iterator[Figure]:
    for at_once in (1, MANY):
        found = [worker.cost(random.sample(names, len(names)), at_once, forget=forget) for _ in range(rounds)]
        how = f"{at_once} at once, least of {rounds} x {len(names):,}"
        for phase, costs in zip(Costs._fields, zip(*found, strict=True), strict=True):
            for process, spent, goal in zip(Cost._fields, zip(*costs, strict=True), goals, strict=True):
                name = f"{where}: {phase}, {process}, {at_once} at once"
                yield Figure(name, min(spent) * 1e6, "µs CPU", goal if phase == "assign" else "", how)


def memory_figures(count: int) -> list[Figure]:
    """The director's memory with so many assignments, in memory, whose users have no sessions now."""
    with DirectorProcess() as director, Worker(director) as worker:
        before = pss_kib(director.pid)
        for first in range(0, count, _COME_AND_GO):
            some = range(first, min(first + _COME_AND_GO, count))
            worker.cost([f"somebody{number}@example.org" for number in some], 256, forget=True)
        taken = (pss_kib(director.pid) - before) * 1024
    how = f"{count:,} users who have been assigned and have left, the memory of the director's process"
    return [
        Figure("memory: all assignments", taken / _MEBIBYTE, "MiB", "<= 150" if count >= 500_000 else "", how),
        Figure("memory: one assignment", taken / count, "bytes", "", "the same"),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="loadtest.assign", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="users, each once in a round (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds, of which the least counts (default: %(default)s)"
    )
    parser.add_argument("--users", type=int, default=500_000, help="assignments in memory (default: %(default)s)")
    parser.add_argument("--redis", action="store_true", help="measure with a Redis as well, which is started for it")
    options = parser.parse_args(arguments)
    print(this_machine())
    figures = cost_figures("memory", MEMORY, options.count, options.rounds, ("<= 15", "<= 20"))
    if options.redis:
        with redis_server() as url:
            figures += cost_figures("Redis", url, options.count, options.rounds, ("<= 15", "<= 100"))
    print(table(figures + memory_figures(options.users)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
