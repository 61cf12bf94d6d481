"""The client processes of one run: started, told what to be, listened to, and ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess

import msgspec

from loadtest.fleet import process
from loadtest.fleet.process import NO_AUDIT, STOP, Assignment
from loadtest.fleet.tally import Snapshot, unpacked

START = 60.0
"""Seconds that all processes have to get ready."""

LEAD = 0.1
"""Seconds between the word that the run begins and its beginning."""

END = 10.0
"""Seconds a process has to end when its pipe is closed."""


class CrewFailed(Exception):
    """A client process ended before its time; its words are on standard error."""


@dataclass(slots=True)
class Crew:
    """Those that have not told their last yet, by their pipes."""

    working: dict[Pipe, BaseProcess]
    pids: dict[str, int] = field(default_factory=dict)

    def begin(self) -> float:
        """Wait until all are ready, and let them begin; the monotonic time at which they do. Raises CrewFailed."""
        until = time.monotonic() + START
        for pipe in self.working:
            if not pipe.poll(max(0.0, until - time.monotonic())):
                raise CrewFailed(f"the fleet is not ready after {START:g} s; try fewer sessions")
            self._receive(pipe)
        began = time.monotonic() + LEAD
        for pipe in self.working:
            pipe.send_bytes(msgspec.msgpack.encode(began))
        return began

    def listen(self, seconds: float) -> list[Snapshot]:
        """What they told, waiting for so long at most. Raises CrewFailed."""
        found = []
        for pipe in pipes.wait(list(self.working), seconds):
            assert isinstance(pipe, Pipe)  # noqa: S101 (that is what we wait for)
            found.append(self._hear(pipe))
        return found

    def _hear(self, pipe: Pipe) -> Snapshot:
        snapshot = unpacked(self._receive(pipe))
        if snapshot.last:
            del self.working[pipe]
        return snapshot

    @staticmethod
    def _receive(pipe: Pipe) -> bytes:
        try:
            return pipe.recv_bytes()
        except (EOFError, OSError):
            raise CrewFailed("a client process of the fleet has ended before its time") from None

    def stop(self, *, audit: bool) -> None:
        """Let them end now, with or without an audit."""
        for pipe in self.working:
            with suppress(OSError):
                if not audit:
                    pipe.send_bytes(NO_AUDIT)
                pipe.send_bytes(STOP)


@contextmanager
def crew(assignments: list[Assignment]) -> Iterator[Crew]:
    """A process for each assignment. They are spawned, not forked: who starts them may have threads."""
    context = multiprocessing.get_context("spawn")
    started: list[tuple[Pipe, BaseProcess]] = []
    child: BaseProcess
    try:
        for number, _ in enumerate(assignments):
            ours, theirs = context.Pipe()
            child = context.Process(target=process.main, args=(theirs,), name=f"fleet-{number}", daemon=True)
            child.start()
            theirs.close()
            started.append((ours, child))
        pids = {child.name: child.pid or 0 for _, child in started}
        for (pipe, _), assignment in zip(started, assignments, strict=True):
            pipe.send_bytes(msgspec.msgpack.encode(assignment))
        yield Crew(dict(started), pids)
    finally:
        for pipe, child in started:
            pipe.close()
            _end(child)


def _end(child: BaseProcess) -> None:
    child.join(END)
    if child.is_alive():
        child.kill()
        child.join()
