"""The client processes of the scale test, as their parent holds them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess

import msgspec

from loadtest.fleet.crew import CrewFailed
from loadtest.fleet.ground import Ground
from loadtest.fleet.tally import Snapshot, unpacked
from loadtest.people import PASSWORD
from loadtest.scale import holding
from loadtest.scale.holding import Post
from loadtest.scale.plan import Plan

START = 60.0
"""Seconds that all processes have to get ready."""

END = 20.0
"""Seconds a process has to end when its pipe is closed."""


class Holders:
    """All of them; `began` is the monotonic time from which on their snapshots count."""

    def __init__(self, processes: Sequence[tuple[Pipe, BaseProcess]], began: float) -> None:
        self._pipes = [pipe for pipe, _ in processes]
        self.pids = {process.name: process.pid or 0 for _, process in processes}
        self.began = began

    def now(self) -> float:
        """Seconds since `began`."""
        return time.monotonic() - self.began

    def want(self, sessions: int) -> None:
        """Have so many sessions in all, as many as before or more; or none, at once. Raises CrewFailed."""
        share, rest = divmod(sessions, len(self._pipes))
        for number, pipe in enumerate(self._pipes):
            try:
                pipe.send_bytes(msgspec.msgpack.encode(share + (number < rest)))
            except OSError:
                raise _lost() from None

    def listen(self, seconds: float) -> list[Snapshot]:
        """What they told, waiting for so long at most. Raises CrewFailed."""
        found = []
        for pipe in pipes.wait(self._pipes, seconds):
            assert isinstance(pipe, Pipe)  # noqa: S101 (that is what we wait for)
            found.append(unpacked(_received(pipe)))
        return found


@contextmanager
def holders(plan: Plan, ground: Ground) -> Iterator[Holders]:
    """Ready inside the block, without any session. They are spawned: who starts them has threads. Raises CrewFailed."""
    context = multiprocessing.get_context("spawn")
    began = time.monotonic()
    started: list[tuple[Pipe, BaseProcess]] = []
    child: BaseProcess
    try:
        for number in range(plan.processes):
            ours, theirs = context.Pipe()
            child = context.Process(target=holding.main, args=(theirs,), name=f"clients-{number}", daemon=True)
            child.start()
            theirs.close()
            started.append((ours, child))
        for number, (pipe, _) in enumerate(started):
            post = Post(plan.scenario, ground.target, number, plan.processes, PASSWORD, began)
            pipe.send_bytes(msgspec.msgpack.encode(post))
        _wait_until_ready([pipe for pipe, _ in started])
        yield Holders(started, began)
    finally:
        for pipe, child in started:
            pipe.close()
            _end(child)


def _wait_until_ready(started: Sequence[Pipe]) -> None:
    until = time.monotonic() + START
    for pipe in started:
        if not pipe.poll(max(0.0, until - time.monotonic())):
            raise CrewFailed(f"the client processes are not ready after {START:g} s")
        _received(pipe)


def _received(pipe: Pipe) -> bytes:
    try:
        return pipe.recv_bytes()
    except (EOFError, OSError):
        raise _lost() from None


def _lost() -> CrewFailed:
    return CrewFailed("a client process has ended before its time")


def _end(child: BaseProcess) -> None:
    child.join(END)
    if child.is_alive():
        child.kill()
        child.join()
