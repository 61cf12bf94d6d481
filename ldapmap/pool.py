"""The connections to one server: one for searches, and a bounded number of serial ones for binds."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from ldapmap.breaker import Breaker
from ldapmap.connection import (
    BindConnection,
    Encoder,
    Identity,
    SearchConnection,
    Target,
    open_connection,
)
from ldapmap.deadlines import Deadlines
from ldapmap.errors import DirectoryError, ServerFault, Unavailable
from ldapmap.messages import FoundEntry, Result
from ldapmap.results import bind_verdict, search_verdict

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server needs to know beside its address. `identity` None: search anonymously, without a bind."""

    identity: Identity | None
    bind_connections: int
    longest_pause: float
    """Seconds."""


class Server:
    """One directory server. It opens connections when they are needed and keeps them."""

    def __init__(self, target: Target, options: ServerOptions, deadlines: Deadlines) -> None:
        self.breaker = Breaker(options.longest_pause)
        self._target = target
        self._identity = options.identity
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._binds = BindPool(target, options.bind_connections, deadlines)
        self._searching: SearchConnection | None = None
        self._opening = asyncio.Lock()
        self._open_failures = 0
        self._closed = False

    def __str__(self) -> str:
        return str(self._target.address)

    async def search(self, search: Encoder, value: bytes) -> list[FoundEntry]:
        """At most two entries. Raises AmbiguousUser or Unavailable."""
        try:
            connection = self._searching
            if connection is None or connection.closed:
                connection = await self._open_searching()
            result, entries = await connection.search(search, value)
            self._judge(search_verdict(result))
        except ServerFault as fault:
            self._failed(fault)
            raise
        return entries

    async def bind(self, dn: bytes, password: bytes) -> None:
        """Return when the server accepts the password; raise what `results.bind_verdict` says when it does not."""
        try:
            self._judge(bind_verdict(await self._binds.bind(dn, password)))
        except ServerFault as fault:
            self._failed(fault)
            raise

    async def probe(self, search: Encoder) -> bool:
        """Whether the server answers a search at all; the breaker learns it."""
        try:
            await self.search(search, b"")
        except DirectoryError as fault:
            if self.breaker.down:
                self.breaker.probe_failed(self._loop.time())
            else:
                _log.warning("directory server %s answers, but: %s", self, fault.reason)
            return not self.breaker.down
        return True

    def close(self) -> None:
        """Close every connection; whoever waits, or still comes, hears ServerFault."""
        self._closed = True
        self._binds.close()
        if self._searching is not None:
            self._searching.close()

    async def _open_searching(self) -> SearchConnection:
        """One attempt for all who need it: those who waited while it failed do not each try again."""
        failures = self._open_failures
        async with self._opening:
            if self._searching is not None and not self._searching.closed:
                return self._searching
            if self._closed:
                raise ServerFault("closed by us")
            if self._open_failures != failures:
                raise ServerFault(f"{self}: no connection, as another login has just found")
            try:
                self._searching = await self._connect()
            except Unavailable as fault:
                self._open_failures += 1
                self._failed(fault)
                raise
            return self._searching

    async def _connect(self) -> SearchConnection:
        connection = await open_connection(SearchConnection, self._target, self._deadlines, self._identity)
        if self._closed:
            connection.close()
        return connection

    def _failed(self, fault: Unavailable) -> None:
        if self.breaker.failed(self._loop.time()):
            _log.warning("directory server %s failed: %s", self, fault.reason)

    def _judge(self, verdict: DirectoryError | None) -> None:
        """Whatever a server answers, it is up; unless the answer is that it is not."""
        if self.breaker.down and not isinstance(verdict, ServerFault):
            self.breaker.answered()
            _log.warning("directory server %s answers again", self)
        if verdict is not None:
            raise verdict


class BindPool:
    """Serial connections, at most `size` of them, opened when all others are busy.

    A connection that becomes free is handed to whoever has waited longest. When it can no longer be used, its place is
    handed on instead, and the one who waited opens a new one.
    """

    def __init__(self, target: Target, size: int, deadlines: Deadlines) -> None:
        self._target = target
        self._size = size
        self._deadlines = deadlines
        self._loop = asyncio.get_running_loop()
        self._free_places = size
        self._idle: list[BindConnection] = []
        self._open: set[BindConnection] = set()
        self._waiting: OrderedDict[asyncio.Future[BindConnection | None], None] = OrderedDict()
        self._closed = False

    async def bind(self, dn: bytes, password: bytes) -> Result:
        """The server's result. Raises Unavailable when there was no turn or no answer in time."""
        connection = self._idle.pop() if self._idle else await self._turn()
        try:
            if connection is None or connection.closed:
                connection = await self._connect()
            return await connection.bind(dn, password)
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close every connection; whoever waits, or still comes, hears ServerFault."""
        self._closed = True
        for connection in self._open:
            connection.close()
        for future in self._waiting:
            if not future.done():
                future.set_exception(ServerFault("closed by us"))

    async def _turn(self) -> BindConnection | None:
        """A connection, or the place for a new one."""
        if not self._free_places:
            return await self._wait()
        self._free_places -= 1
        return None

    async def _wait(self) -> BindConnection | None:
        if len(self._waiting) >= self._target.queue_limit:
            raise Unavailable(f"{self._target.address}: {len(self._waiting)} binds are waiting already")
        future: asyncio.Future[BindConnection | None] = self._loop.create_future()
        self._waiting[future] = None
        self._deadlines.add(future)
        try:
            return await future
        except TimeoutError:
            seconds = self._deadlines.seconds
            raise Unavailable(f"{self._target.address}: no bind connection was free for {seconds:g} s") from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())  # it was handed to us, and we are leaving
            raise
        finally:
            self._waiting.pop(future, None)
            self._deadlines.discard(future)

    def _give_back(self, connection: BindConnection | None) -> None:
        if connection is not None and connection.closed:
            self._open.discard(connection)
            connection = None
        while self._waiting:
            future = self._waiting.popitem(last=False)[0]
            if not future.done():
                future.set_result(connection)
                return
        if connection is None:
            self._free_places += 1
        else:
            self._idle.append(connection)

    async def _connect(self) -> BindConnection:
        if self._closed:
            raise ServerFault("closed by us")
        connection = await open_connection(BindConnection, self._target, self._deadlines)
        self._open.add(connection)
        if self._closed:  # meanwhile
            connection.close()
        return connection
