"""Who waits for a connection, in the order of arrival and for a bounded time."""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from ldapmap.client.deadlines import Deadlines
from ldapmap.errors import Unavailable

T = TypeVar("T")


class Busy(Unavailable):
    """Logins come faster than the server answers them. Asking elsewhere would only carry the crowd there."""


class Turns(Generic[T]):
    """A queue of at most `limit` logins; each waits until it is given something, or is turned away.

    `deadlines` end every wait with Busy. `waited` hears how long each took, whatever its end.
    """

    def __init__(self, name: str, limit: int, deadlines: Deadlines, waited: Callable[[float], None]) -> None:
        self._name = name
        self._limit = limit
        self._deadlines = deadlines
        self._waited = waited
        self._loop = asyncio.get_running_loop()
        self._waiting: OrderedDict[asyncio.Future[T], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, hand_back: Callable[[T], None]) -> T:
        """What is given to us; handed back if we were cancelled meanwhile. Raises Busy, or why we are turned away."""
        if len(self._waiting) >= self._limit:
            raise Busy(f"{self._name}: {len(self._waiting)} are waiting already")
        future: asyncio.Future[T] = self._loop.create_future()
        began = self._loop.time()
        self._waiting[future] = None
        self._deadlines.add(future)
        try:
            return await future
        except TimeoutError:
            raise Busy(f"{self._name}: no connection was free for {self._deadlines.seconds:g} s") from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                hand_back(future.result())
            raise
        finally:
            self._waiting.pop(future, None)
            self._deadlines.discard(future)
            self._waited(self._loop.time() - began)

    def give(self, thing: T) -> bool:
        """Give it to whoever has waited longest; False when nobody waits."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_result(thing)
                return True
        return False

    def turn_away(self, fault: Unavailable) -> None:
        """End every wait with this."""
        waiting, self._waiting = self._waiting, OrderedDict()
        for future in waiting:
            if not future.done():
                future.set_exception(copy.copy(fault))  # an exception of its own for each, as each adds its traceback
