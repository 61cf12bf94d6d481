"""Deadlines for many waits with one timer."""

from __future__ import annotations

import asyncio
from itertools import takewhile
from typing import Any


class Deadlines:
    """Ends every wait that takes longer than `seconds` with TimeoutError.

    All waits have the same length, so the oldest is always the first to expire: one timer, set to the oldest, is
    enough. Under load it fires once per `seconds` instead of being set and cancelled for every operation; without
    waits there is none.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any]) -> None:
        self._due[future] = self._loop.time() + self.seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self.seconds, self._sweep)

    def discard(self, future: asyncio.Future[Any]) -> None:
        """Forget a wait that is over."""
        self._due.pop(future, None)

    def close(self) -> None:
        """Stop the timer; no wait ends any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        now = self._loop.time()
        for future, _ in list(takewhile(lambda item: item[1] <= now, self._due.items())):
            del self._due[future]
            if not future.done():
                future.set_exception(TimeoutError())
        oldest = next(iter(self._due.values()), None)
        self._timer = None if oldest is None else self._loop.call_at(oldest, self._sweep)
