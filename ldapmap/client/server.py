"""One directory server: what it is asked, how its answers are judged, and what they say about it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from ldapmap.client.breaker import Breaker
from ldapmap.client.connection import (
    BindConnection,
    Connection,
    Encoder,
    Identity,
    Late,
    SearchConnection,
    Silent,
    Target,
    open_connection,
)
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import FoundEntry
from ldapmap.client.pool import BindPool, SearchPool
from ldapmap.client.results import bind_verdict, search_verdict
from ldapmap.client.turns import Turns
from ldapmap.client.window import Window
from ldapmap.errors import DirectoryError, Misconfigured, ServerFault, Unavailable
from ldapmap.meters import Meters, Operation, Outcome
from ldapmap.status import ServerStatus

_log = logging.getLogger(__name__)

C = TypeVar("C", bound=Connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server needs to know beside how to reach it. `identity` None: search anonymously, without a bind."""

    identity: Identity | None
    bind_connections: int
    longest_pause: float
    """Seconds between two probes of a server that does not answer."""
    queue_time: float
    """Seconds a login may wait for a free connection."""
    meters: Meters
    priority: int = 1
    weight: int = 1


class Server:
    """One directory server. It opens connections when they are needed and keeps them.

    It failed when an operation ended without an answer and nobody else got one since that operation began: a slow
    answer, or a lost connection, of a server that answers others is no fault of the server.
    """

    def __init__(self, target: Target, options: ServerOptions, deadlines: Deadlines) -> None:
        self.priority = options.priority
        self.weight = options.weight
        self.breaker = Breaker(options.longest_pause)
        self._name = name = str(target.address)
        self._target = target
        self._identity = options.identity
        self._deadlines = deadlines
        self._meters = options.meters
        self._loop = asyncio.get_running_loop()
        self._answers = 0
        self._patience = patience = Deadlines(options.queue_time)
        binds = Turns[BindConnection](name, target.queue_limit, patience, options.meters.waited)
        self._binds = BindPool(options.bind_connections, binds, self._open_for_a_bind)
        searches = Turns[SearchConnection](name, target.queue_limit, patience, options.meters.waited)
        window = Window(target.search_outstanding, deadlines.seconds)
        self._searches = SearchPool(window, searches, self._open_for_searches)

    def __str__(self) -> str:
        return self._name

    def status(self) -> ServerStatus:
        """As it is now."""
        return ServerStatus(
            url=self._name,
            down=self.breaker.down,
            bind_open=self._binds.open,
            bind_busy=self._binds.busy,
            bind_waiting=self._binds.waiting,
            searches=self._searches.outstanding,
            search_waiting=self._searches.waiting,
        )

    async def search(self, search: Encoder, value: bytes) -> list[FoundEntry]:
        """At most two entries. Raises AmbiguousUser or Unavailable."""
        connection = self._searches.take() or await self._searches.wait()
        began, answers, taken = self._loop.time(), self._answers, None
        try:
            result, entries = await connection.search(search, value)
            taken = self._loop.time() - began
            self._judge(search_verdict(result))
        except DirectoryError as error:
            taken = self._loop.time() - began
            self._failed("search", error, taken, answers)
        finally:
            self._searches.give_back(connection, taken)
        self._meters.operation(self._name, "search", "ok", taken)
        return entries

    async def bind(self, dn: bytes, password: bytes) -> None:
        """Return when the server accepts the password; raise what `results.bind_verdict` says when it does not."""
        connection = self._binds.take() or await self._binds.wait()
        began, answers = self._loop.time(), self._answers
        try:
            self._judge(bind_verdict(await connection.bind(dn, password)))
        except DirectoryError as error:
            self._failed("bind", error, self._loop.time() - began, answers)
        finally:
            self._binds.give_back(connection)
        self._meters.operation(self._name, "bind", "ok", self._loop.time() - began)

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

    def turn_away(self) -> None:
        """Let those who wait here ask another server."""
        fault = ServerFault(f"{self}: does not answer, as others have found")
        self._binds.turn_away(fault)
        self._searches.turn_away(fault)

    async def close(self) -> None:
        """Close every connection; whoever waits, or still comes, hears ServerFault."""
        await self._binds.close()
        await self._searches.close()
        self._patience.close()

    async def _open_for_a_bind(self) -> BindConnection:
        return await self._open(BindConnection, None)

    async def _open_for_searches(self) -> SearchConnection:
        return await self._open(SearchConnection, self._identity)

    async def _open(self, kind: type[C], identity: Identity | None) -> C:
        began, answers = self._loop.time(), self._answers
        try:
            connection = await open_connection(kind, self._target, self._deadlines, identity)
        except DirectoryError as error:
            self._failed("connect", error, self._loop.time() - began, answers)
        self._meters.operation(self._name, "connect", "ok", self._loop.time() - began)
        return connection

    def _judge(self, verdict: DirectoryError | None) -> None:
        """Whatever a server answers, it is up; unless the answer is that it is not."""
        if verdict is None or not isinstance(verdict, ServerFault):
            self._answers += 1
            if self.breaker.down:
                self.breaker.answered()
                _log.warning("directory server %s answers again", self)
        if verdict is not None:
            raise verdict

    def _failed(self, operation: Operation, error: DirectoryError, seconds: float, answers: int) -> NoReturn:
        """Count it, note what it says about the server, and raise it as what it is."""
        self._meters.operation(self._name, operation, _outcome(error), seconds)
        alone = self._answers == answers  # nobody got an answer since this operation began
        if isinstance(error, Silent) and not alone:
            error = Late(error.reason)
        faulty = isinstance(error, ServerFault) or operation == "connect"
        if faulty and alone and self.breaker.failed(self._loop.time()):
            _log.warning("directory server %s failed: %s", self, error.reason)
        raise error


def _outcome(error: DirectoryError) -> Outcome:
    if isinstance(error, Late | Silent):
        return "timeout"
    if isinstance(error, Misconfigured):
        return "misconfigured"
    return "unavailable" if isinstance(error, Unavailable) else "refused"
