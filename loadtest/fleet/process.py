"""One client process: it is told what to be, lets its clients loose, and tells once a second what they saw."""

from __future__ import annotations

import gc
import os
import signal
import ssl
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import msgspec

import tls
from loadtest import descriptors
from loadtest.fleet import audit
from loadtest.fleet.accounts import Listed, Numbered
from loadtest.fleet.behaviours import BEHAVIOURS, live
from loadtest.fleet.clients import Account, Accounts, Fleet, Target, Visitor
from loadtest.fleet.engine import Engine, Job
from loadtest.fleet.hearing import Dropped, RunOver
from loadtest.fleet.ledger import Ledger
from loadtest.fleet.population import clients
from loadtest.fleet.scenario import Event, Scenario
from loadtest.fleet.tally import Snapshot, Tally, packed

EVERY = 1.0
"""Seconds between two snapshots."""

RESERVE = 200
"""Of a process's descriptors, what is not for clients."""

AUDIT = 60.0
"""Seconds that the audit may take."""

READY, STOP, NO_AUDIT = b"ready", b"stop", b"no audit"


class Assignment(msgspec.Struct, frozen=True):
    """What one process is to be. `accounts` is empty when users are numbered and have the one `password`."""

    scenario: Scenario
    target: Target
    process: int
    processes: int
    password: str
    accounts: list[Account] = []
    hostile: bool = True
    """Whether hostile clients come as well."""


def most_sessions() -> int:
    """How many sessions fit into one process, by its descriptors."""
    return min(descriptors.MOST, descriptors.allowed()) - RESERVE


def main(pipe: Pipe) -> None:
    """What a client process runs.

    An assignment comes; when everything is ready, that is said; the monotonic time at which the run begins comes, then
    words; snapshots go back, and the last one ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then says so
    with suppress(EOFError, OSError):
        assignment = msgspec.msgpack.decode(pipe.recv_bytes(), type=Assignment)
        ours = Crew(assignment, pipe)
        pipe.send_bytes(READY)
        ours.run(msgspec.msgpack.decode(pipe.recv_bytes(), type=float))


class Crew:
    """The clients of one process."""

    def __init__(self, assignment: Assignment, pipe: Pipe) -> None:
        descriptors.allow(descriptors.MOST)
        self._assignment = assignment
        self._pipe = pipe
        self._engine = Engine()
        self._fleet = self._own(Tally(assignment.process))
        self._visitors: dict[Visitor, Job] = {}
        self._words: set[bytes] = set()
        for client in clients(assignment.scenario, assignment.process, assignment.processes):
            hostile = BEHAVIOURS[client.behaviour].hostile
            if assignment.hostile or not hostile:
                visitor = Visitor(self._fleet, client, aside=hostile)
                self._visitors[visitor] = self._engine.spawn(live(visitor))

    def run(self, began: float) -> None:
        """From this monotonic time until the scenario's end or a word of the parent; sends the last snapshot."""
        scenario, engine = self._assignment.scenario, self._engine
        self._fleet.began = began
        for event in scenario.event:
            if event.do == "drop":
                engine.spawn(self._drop(event))
        gc.collect()
        gc.freeze()
        engine.spawn(self._tell())
        engine.register(self._pipe.fileno(), self, 1)
        engine.run(self._over)
        self._end()

    def ready(self, events: int) -> None:
        """The parent has said something, or is gone."""
        try:
            self._words.add(self._pipe.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)  # nobody is left who could be told anything

    def _over(self) -> bool:
        return STOP in self._words or self._fleet.now() >= self._assignment.scenario.seconds

    def _end(self) -> None:
        self._send(self._fleet.tally)
        engine, quiet = self._engine, Tally(self._assignment.process)
        engine.stop(RunOver)
        engine.run()
        if self._assignment.scenario.audit and NO_AUDIT not in self._words:
            self._audit(quiet)
        self._send(quiet, last=True)

    def _audit(self, quiet: Tally) -> None:
        fleet = self._own(quiet, self._fleet.ledger)
        fleet.began = self._fleet.began
        share = -(-self._assignment.scenario.audit // self._assignment.processes)
        writers = set(self._fleet.ledger.writers()[:share])
        users = {one.client.user: one.account.user for one in self._visitors if one.account.user in writers}
        audit.begin(fleet, list(users))
        until = self._engine.now() + AUDIT
        self._engine.run(lambda: self._engine.now() > until or NO_AUDIT in self._words)
        self._engine.stop(RunOver)
        self._engine.run()

    async def _tell(self) -> None:
        with suppress(RunOver):
            while True:
                await self._engine.sleep(EVERY)
                self._send(self._fleet.tally)

    async def _drop(self, event: Event) -> None:
        with suppress(RunOver):
            await self._engine.sleep(max(0.0, event.at - self._fleet.now()))
            for visitor, job in self._visitors.items():
                if visitor.connection is not None and visitor.random.random() < event.share:
                    job.fail(Dropped())

    def _send(self, tally: Tally, *, last: bool = False) -> None:
        late, self._engine.late = self._engine.late, 0.0
        snapshot: Snapshot = tally.snapshot(self._fleet.now(), late, last=last)
        self._pipe.send_bytes(packed(snapshot))

    def _own(self, tally: Tally, ledger: Ledger | None = None) -> Fleet:
        told = self._assignment
        accounts: Accounts = Listed(told.accounts) if told.accounts else Numbered(told.password)
        kept = Ledger(told.process, told.processes) if ledger is None else ledger
        context = client_context(told.target.ca)
        return Fleet(self._engine, told.scenario, told.target, context, accounts, tally, kept)


def client_context(ca: str) -> ssl.SSLContext:
    """How clients verify what they connect to; "" for the system's authorities."""
    return tls.backend_context(Path(ca) if ca else None, True)
