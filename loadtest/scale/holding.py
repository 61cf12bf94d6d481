"""A client process of the scale test: it is told how many sessions to have, has them, and tells how that goes."""

from __future__ import annotations

import gc
import signal
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

import msgspec

from loadtest import descriptors
from loadtest.fleet.accounts import Numbered
from loadtest.fleet.clients import Fleet, Target, Visitor
from loadtest.fleet.engine import READ, Engine, Job
from loadtest.fleet.hearing import RunOver
from loadtest.fleet.imap import Imap
from loadtest.fleet.ledger import Ledger
from loadtest.fleet.population import Client
from loadtest.fleet.process import client_context
from loadtest.fleet.scenario import Scenario
from loadtest.fleet.tally import Tally, packed
from loadtest.scale.sessions import arrive, stay

EVERY = 0.25
"""Seconds between two snapshots."""

AT_ONCE = 64
"""Logins that all processes together have under way: enough to keep a machine busy, not so many that they wait."""

READY = b"ready"


class Post(msgspec.Struct, frozen=True):
    """What one process of so many is to be; `began` is the monotonic time from which on it counts."""

    scenario: Scenario
    target: Target
    process: int
    processes: int
    password: str
    began: float


def main(pipe: Pipe) -> None:
    """What a process runs: a post comes, `READY` goes back, then numbers of sessions come and snapshots go.

    It ends, and its sessions with it, when its pipe is closed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then says so
    descriptors.allow()
    gc.set_threshold(50_000, 20, 100)  # sessions are many and stay: looking at them all is dear and finds nothing
    with suppress(EOFError, OSError):
        holding = Holding(msgspec.msgpack.decode(pipe.recv_bytes(), type=Post), pipe)
        pipe.send_bytes(READY)
        holding.run()


class Holding:
    """The sessions of one process. Every session has its own user and the last is never reused."""

    def __init__(self, post: Post, pipe: Pipe) -> None:
        self._post = post
        self._pipe = pipe
        self._engine = Engine()
        self._inside: dict[Visitor, Job] = {}
        self._wanted = 0
        self._started = 0
        """Since the last time that none was wanted."""
        self._number = post.process
        self._over = False
        context = client_context(post.target.ca)
        self._fleet = Fleet(
            self._engine,
            post.scenario,
            post.target,
            context,
            Numbered(post.password),
            Tally(post.process),
            Ledger(),
            post.began,
        )

    def run(self) -> None:
        """Until the parent closes the pipe."""
        self._engine.spawn(self._tell())
        self._engine.register(self._pipe.fileno(), self, READ)
        self._engine.run(lambda: self._over)
        self._engine.stop(RunOver)
        self._engine.end()

    def ready(self, events: int) -> None:
        """The parent has said something, or is gone."""
        try:
            self._be(msgspec.msgpack.decode(self._pipe.recv_bytes(), type=int))
        except (EOFError, OSError):
            self._over = True

    def _be(self, wanted: int) -> None:
        self._wanted = wanted
        if wanted:
            for _ in range(max(1, AT_ONCE // self._post.processes)):
                self._begin()
            return
        self._started = 0
        self._dismiss()

    def _dismiss(self) -> None:
        """Let everybody leave, but for those who hear something in the same moment: a failure is for one wait alone."""
        for job in self._inside.values():
            job.fail(RunOver())

    def _begin(self) -> None:
        """Let one more come, if there are not enough."""
        if self._started < self._wanted:
            self._started += 1
            self._engine.spawn(self._live())

    async def _live(self) -> None:
        """One session; when it is in, or could not come in, the next one comes."""
        with suppress(RunOver):
            visitor = self._next()
            session = await arrive(visitor) if self._wanted else None
            self._begin()
            if session is not None:
                await self._stay(visitor, session)

    async def _stay(self, visitor: Visitor, session: Imap) -> None:
        if not self._wanted:  # everybody was told to leave while it came
            visitor.leave()
            visitor.be("")
            return
        assert self._engine.current is not None  # noqa: S101 (this runs in a job)
        self._inside[visitor] = self._engine.current
        try:
            await stay(visitor, session)
        finally:
            self._inside.pop(visitor, None)

    def _next(self) -> Visitor:
        number, self._number = self._number, self._number + self._post.processes
        return Visitor(self._fleet, Client(number, number % self._post.scenario.users, "idle", 0.0))

    async def _tell(self) -> None:
        with suppress(RunOver):
            while not self._over:
                await self._engine.sleep(EVERY)
                if not self._wanted:
                    self._dismiss()
                late, self._engine.late = self._engine.late, 0.0
                try:
                    self._pipe.send_bytes(packed(self._fleet.tally.snapshot(self._fleet.now(), late)))
                except OSError:
                    self._over = True
