"""A wait that ends where its event is handled, instead of a turn of the loop later.

An asyncio Future puts whoever awaits it into the loop's queue when it is done; at ten waits a login that is a tenth of
the CPU. `Wait` speaks the protocol by which asyncio knows a future that is not its own (`asyncio.isfuture`), so that an
ordinary Task awaits it, with cancellation and timeouts as ever, but `finish` resumes the task at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any


class Wait:
    """Awaited by one task at a time, again and again.

    `finish` must not be called from within a task: it runs the waiting one. `fail` may be called from anywhere.
    """

    __slots__ = ("_asyncio_future_blocking", "_failure", "_loop", "_wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wake: Callable[[Wait], object] | None = None
        self._failure: BaseException | None = None
        self._asyncio_future_blocking = False

    @property
    def pending(self) -> bool:
        """Whether somebody waits."""
        return self._wake is not None

    def finish(self) -> None:
        """What was waited for has come: go on with whoever waits."""
        wake, self._wake = self._wake, None
        if wake is not None:
            wake(self)

    def fail(self, failure: BaseException) -> bool:
        """Raise `failure` where somebody waits, soon; whether anybody does."""
        wake, self._wake = self._wake, None
        if wake is None:
            return False
        self._failure = failure
        self._loop.call_soon(wake, self)
        return True

    def __await__(self) -> Generator[Wait, None, None]:
        self._failure = None
        self._asyncio_future_blocking = True
        yield self

    # What asyncio's Task asks of a future.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the waiting task belongs to."""
        return self._loop

    def add_done_callback(self, callback: Callable[[Wait], object], *, context: Any = None) -> None:
        """The task has begun to wait; there is only ever this one callback."""
        self._wake = callback

    def cancel(self, msg: object = None) -> bool:
        """The waiting task is being cancelled."""
        return self.fail(asyncio.CancelledError())

    def result(self) -> None:
        """Nothing, or the failure."""
        if self._failure is not None:
            raise self._failure
