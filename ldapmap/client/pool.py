"""The connections to one server: one for searches, and a bounded number of serial ones for binds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ldapmap.client.connection import BindConnection, SearchConnection
from ldapmap.client.opener import Opener
from ldapmap.client.turns import Turns
from ldapmap.client.window import Window
from ldapmap.errors import ServerFault, Unavailable

_PAUSE = 1.0  # seconds without another attempt after one failed, as long as other connections do the work


class BindPool:
    """Serial connections, at most `size` of them, opened one after the other while all others are busy.

    Who finds none idle waits for the next that becomes free, new or not. When the last is lost and no new one can be
    opened, everybody who waits hears why.
    """

    def __init__(
        self, size: int, turns: Turns[BindConnection], attempt: Callable[[], Awaitable[BindConnection]]
    ) -> None:
        self._size = size
        self._turns = turns
        self._opener = Opener(attempt, self._opened, self._failed)
        self._loop = asyncio.get_running_loop()
        self._idle: list[BindConnection] = []
        self._open: set[BindConnection] = set()
        self._resume_at = 0.0
        self._closed = False

    @property
    def open(self) -> int:
        return sum(not connection.closed for connection in self._open)

    @property
    def busy(self) -> int:
        return self.open - sum(not connection.closed for connection in self._idle)

    @property
    def waiting(self) -> int:
        return len(self._turns)

    def take(self) -> BindConnection | None:
        """A connection that is free now. Whoever gets one has to give it back."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            self._open.discard(connection)
        return None

    def wait(self) -> Awaitable[BindConnection]:
        """A connection as soon as one is free and it is our turn. Raises Unavailable."""
        if self._closed:
            raise ServerFault("closed by us")
        self._grow(1)
        return self._turns.wait(self.give_back)

    def give_back(self, connection: BindConnection) -> None:
        """Hand it to whoever waits; a closed one makes room for another."""
        if connection.closed:
            self._open.discard(connection)
        elif not self._turns.give(connection):
            self._idle.append(connection)
            return
        self._grow(len(self._turns))

    def turn_away(self, fault: Unavailable) -> None:
        """Whoever waits need not wait any longer, because of this."""
        self._turns.turn_away(fault)

    async def close(self) -> None:
        """Close every connection; whoever waits, or still comes, hears ServerFault."""
        self._closed = True
        await self._opener.close()
        for connection in self._open:
            connection.close()
        self.turn_away(ServerFault("closed by us"))

    def _grow(self, wanted: int) -> None:
        if not wanted or self._closed or len(self._open) >= self._size:
            return
        if not self._open or self._loop.time() >= self._resume_at:
            self._opener.start()

    def _opened(self, connection: BindConnection) -> None:
        self._open.add(connection)
        self.give_back(connection)

    def _failed(self, fault: Unavailable) -> None:
        self._resume_at = self._loop.time() + _PAUSE
        if not self.open:
            self.turn_away(fault)


class SearchPool:
    """The one connection for all searches; beyond its window they wait here."""

    def __init__(
        self, window: Window, turns: Turns[SearchConnection], attempt: Callable[[], Awaitable[SearchConnection]]
    ) -> None:
        self.outstanding = 0
        self._window = window
        self._turns = turns
        self._opener = Opener(attempt, self._opened, self._turns.turn_away)
        self._connection: SearchConnection | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._turns)

    def take(self) -> SearchConnection | None:
        """The connection, if one more search may be sent now. Whoever gets it has to give it back."""
        connection = self._connection
        if connection is None or connection.closed or self.outstanding >= self._window.size:
            return None
        self.outstanding += 1
        return connection

    def wait(self) -> Awaitable[SearchConnection]:
        """The connection as soon as it is our turn. Raises Unavailable."""
        if self._closed:
            raise ServerFault("closed by us")
        self._open_if_lost()
        return self._turns.wait(self.give_back)

    def give_back(self, connection: SearchConnection, seconds: float | None = None) -> None:
        """One search is over, `seconds` after it was sent; without them nothing is learned from it."""
        self.outstanding -= 1
        others_wait = bool(self._turns)
        if seconds is not None:
            self._window.answered(seconds, others_wait)
        if others_wait:
            self._serve()

    def turn_away(self, fault: Unavailable) -> None:
        """Whoever waits need not wait any longer, because of this."""
        self._turns.turn_away(fault)

    async def close(self) -> None:
        """Close the connection; whoever waits, or still comes, hears ServerFault."""
        self._closed = True
        await self._opener.close()
        if self._connection is not None:
            self._connection.close()
        self.turn_away(ServerFault("closed by us"))

    def _serve(self) -> None:
        while self._turns and (connection := self.take()) is not None:
            if not self._turns.give(connection):
                self.outstanding -= 1
        if self._turns:
            self._open_if_lost()

    def _open_if_lost(self) -> None:
        if not self._closed and (self._connection is None or self._connection.closed):
            self._opener.start()

    def _opened(self, connection: SearchConnection) -> None:
        self._connection = connection
        self._serve()
