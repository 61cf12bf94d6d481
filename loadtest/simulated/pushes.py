"""Mail that arrives while clients wait: to every idling session of a backend in turn, at an even pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from loadtest.host import Host

PACE = 0.05
"""Seconds between two rounds."""


class Pushes:
    """Lets mail arrive inside `async with`: `rate` messages per second for each session that idles.

    A user with several idling sessions gets the messages of all of them, and each session hears of all.
    """

    def __init__(self, hosts: Sequence[Host], rate: float) -> None:
        self._owed = [(host, Owed(rate)) for host in hosts]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(PACE)
            now = time.monotonic()
            for host, owed in self._owed:
                push(host, owed.due(len(host.idling), now - before))
            before = now


class Owed:
    """How many messages are due; fractions are kept for later."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._rest = 0.0

    def due(self, sessions: int, seconds: float) -> int:
        """For so many sessions after so many seconds, but never more than one each."""
        whole, self._rest = divmod(self._rest + self._rate * sessions * seconds, 1.0)
        return min(int(whole), sessions)


def push(host: Host, count: int) -> None:
    """Let mail arrive for the `count` sessions whose turn it is."""
    for _ in range(min(count, len(host.idling))):
        listener, (user, mailbox) = next(iter(host.idling.items()))
        host.idling.move_to_end(listener)
        mailbox.push(user, time.monotonic())
