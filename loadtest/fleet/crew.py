"""The client processes of one run: told what to be, listened to, and stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from loadtest.fleet import process
from loadtest.fleet.children import Children, children, heard, wait_until_ready
from loadtest.fleet.process import NO_AUDIT, STOP, Assignment
from loadtest.fleet.tally import Snapshot, unpacked

LEAD = 0.1
"""Seconds between the word that the run begins and its beginning."""


@dataclass(slots=True)
class Crew:
    """Those that have not told their last yet, by their pipes."""

    working: Children
    pids: dict[str, int]

    def begin(self) -> float:
        """Wait until all are ready, and let them begin; the monotonic time at which they do. Raises CrewFailed."""
        wait_until_ready(self.working)
        began = time.monotonic() + LEAD
        for pipe in self.working:
            pipe.send_bytes(msgspec.msgpack.encode(began))
        return began

    def listen(self, seconds: float) -> list[Snapshot]:
        """What they told, waiting for so long at most. Raises CrewFailed."""
        found = []
        for pipe, told in heard(self.working, seconds):
            found.append(snapshot := unpacked(told))
            if snapshot.last:
                del self.working[pipe]
        return found

    def stop(self, *, audit: bool) -> None:
        """Let them end now, with or without an audit."""
        for pipe in self.working:
            with suppress(OSError):
                if not audit:
                    pipe.send_bytes(NO_AUDIT)
                pipe.send_bytes(STOP)


@contextmanager
def crew(assignments: list[Assignment]) -> Iterator[Crew]:
    """A process for each assignment; they have ended when the block has."""
    posts = [msgspec.msgpack.encode(assignment) for assignment in assignments]
    with children(process.main, "fleet", posts) as working:
        yield Crew(working, {child.name: child.pid or 0 for child in working.values()})
