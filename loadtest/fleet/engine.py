"""Thousands of conversations as plain coroutines over one level-triggered epoll, with nothing kept for each of them.

asyncio's TLS transports keep 280 KiB for each session; a job here is its coroutine, and its wait an entry in a list. A
job runs until it waits; whatever ends its wait resumes it from the engine's own turn, never from within
another job.
"""

from __future__ import annotations

import heapq
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from types import coroutine as plain_coroutine
from typing import Any, Protocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
BROKEN = select.EPOLLHUP | select.EPOLLERR

RECORD = 16384
"""Bytes of a TLS record: a read of this size leaves no plaintext behind in OpenSSL, where epoll could not see it."""

SWEEP = 0.25
"""Seconds between two looks at the deadlines of everything that waits."""

_EVENTS_PER_TURN = 512


class Handler(Protocol):
    """What a descriptor belongs to."""

    def ready(self, events: int) -> None:
        """Act on `READ`, `WRITE` and `BROKEN`."""


class Timed(Protocol):
    """What must not wait forever; `deadline` is a time of the engine's clock."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


class Job:
    """A coroutine on its way. `turn` tells one of its waits from the next."""

    __slots__ = ("_coroutine", "_engine", "turn")

    def __init__(self, engine: Engine, coroutine: Coroutine[Any, Any, None]) -> None:
        self._engine = engine
        self._coroutine = coroutine
        self.turn = 0

    def resume(self) -> None:
        """Go on until the next wait; only the engine's turn may call this."""
        self._step(None)

    def fail(self, failure: BaseException) -> None:
        """Raise `failure` where it waits, at the engine's next turn; of two at once the first counts."""
        self._engine.later(self, failure)

    def _step(self, failure: BaseException | None) -> None:
        self.turn += 1
        if failure is not None and self.turn == 1:  # it has not begun, so there is nobody to tell
            self._engine.jobs.pop(self, None)
            self._coroutine.close()
            return
        self._engine.current = self
        try:
            if failure is None:
                self._coroutine.send(None)
            else:
                self._coroutine.throw(failure)
        except StopIteration:
            self._engine.jobs.pop(self, None)
        except BaseException:
            self._engine.jobs.pop(self, None)
            raise


class Engine:
    """Runs jobs until none is left. What a job does not catch ends the whole engine: nobody's bug goes unseen."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.jobs: dict[Job, None] = {}
        self.current: Job | None = None
        self.timed: dict[Timed, None] = {}
        self.buffer = memoryview(bytearray(RECORD))
        """What every read goes through: a buffer of its own for each would be the largest part of a session."""
        self.late = 0.0
        """How many seconds too late a timer was served, at most, since somebody set this to 0: how busy we are."""
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._closing: list[socket.socket] = []
        self._timers: list[tuple[float, int, Job, int]] = []
        self._order = count()
        self._ready: deque[tuple[Job, int, BaseException | None]] = deque()
        self._next_sweep = now()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Job:
        """A new job; it begins at the next turn."""
        job = Job(self, coroutine)
        self.jobs[job] = None
        self.later(job)
        return job

    def later(self, job: Job, failure: BaseException | None = None) -> None:
        """Resume a job at the next turn, unless something else does so before."""
        self._ready.append((job, job.turn, failure))

    @plain_coroutine
    def sleep(self, seconds: float) -> Generator[None, None, None]:
        """Wait for so long."""
        job = self._running()
        heapq.heappush(self._timers, (self.now() + seconds, next(self._order), job, job.turn))
        yield

    @plain_coroutine
    def pause(self) -> Generator[None, None, None]:
        """Wait until `Job.resume` or `Job.fail`: the seam for whoever watches a descriptor."""
        self._running()
        yield

    def register(self, fd: int, handler: Handler, events: int) -> None:
        """Watch a descriptor that is not watched yet."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch for other events; `BROKEN` is always among them."""
        self._epoll.modify(fd, events)

    def deafen(self, fd: int) -> None:
        """Watch no longer, not even for `BROKEN`."""
        self._epoll.unregister(fd)

    def close(self, fd: int, sock: socket.socket) -> None:
        """Close a socket at the turn's end: its number could be given to a new one while events for it are waiting."""
        self._handlers.pop(fd, None)
        self._closing.append(sock)

    def run(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Until no job is left, or `stopped` says so between two turns. Raises what a job raises."""
        while self.jobs and not stopped():
            self._turn()

    def stop(self, failure: Callable[[], BaseException]) -> None:
        """Raise a failure where each job waits, now; not for use by a job."""
        for job in list(self.jobs):
            if job in self.jobs:
                job._step(failure())

    def end(self) -> None:
        """Give up what is left; the engine is of no use afterwards."""
        self._close_sockets()
        self._epoll.close()

    def _turn(self) -> None:
        for fd, events in self._epoll.poll(self._timeout(), _EVENTS_PER_TURN):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler.ready(events)
        self._run_timers()
        self._sweep()
        for _ in range(len(self._ready)):
            job, turn, failure = self._ready.popleft()
            if job.turn == turn and job in self.jobs:
                job._step(failure)
        self._close_sockets()

    def _timeout(self) -> float:
        if self._ready:
            return 0.0
        due = self._next_sweep if not self._timers else min(self._next_sweep, self._timers[0][0])
        return max(0.0, due - self.now())

    def _run_timers(self) -> None:
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            due, _, job, turn = heapq.heappop(self._timers)
            if job.turn == turn and job in self.jobs:
                self.late = max(self.late, now - due)
                job.resume()

    def _sweep(self) -> None:
        now = self.now()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP
        for timed in [one for one in self.timed if one.deadline <= now]:
            timed.expire()

    def _close_sockets(self) -> None:
        for sock in self._closing:
            sock.close()
        self._closing.clear()

    def _running(self) -> Job:
        assert self.current is not None  # noqa: S101 (only jobs wait)
        return self.current
