"""The client processes of the scale test, as their parent holds them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from loadtest.fleet.children import Children, children, heard, lost, shares, wait_until_ready
from loadtest.fleet.ground import Ground
from loadtest.fleet.tally import Snapshot, unpacked
from loadtest.people import PASSWORD
from loadtest.scale import holding
from loadtest.scale.holding import Post
from loadtest.scale.plan import Plan


class Holders:
    """All of them; `began` is the monotonic time from which on their snapshots count."""

    def __init__(self, processes: Children, began: float) -> None:
        self._pipes = list(processes)
        self.pids = {process.name: process.pid or 0 for process in processes.values()}
        self.began = began

    def now(self) -> float:
        """Seconds since `began`."""
        return time.monotonic() - self.began

    def want(self, sessions: int) -> None:
        """Have so many sessions in all, as many as before or more; or none, at once. Raises CrewFailed."""
        for pipe, share in zip(self._pipes, shares(sessions, len(self._pipes)), strict=True):
            try:
                pipe.send_bytes(msgspec.msgpack.encode(share))
            except OSError:
                raise lost() from None

    def listen(self, seconds: float) -> list[Snapshot]:
        """What they told, waiting for so long at most. Raises CrewFailed."""
        return [unpacked(told) for _, told in heard(self._pipes, seconds)]


@contextmanager
def holders(plan: Plan, ground: Ground) -> Iterator[Holders]:
    """Ready inside the block, without any session. Raises CrewFailed."""
    began = time.monotonic()
    posts = [
        msgspec.msgpack.encode(Post(plan.scenario, ground.target, number, plan.processes, PASSWORD, began))
        for number in range(plan.processes)
    ]
    with children(holding.main, "clients", posts) as processes:
        wait_until_ready(processes)
        yield Holders(processes, began)
