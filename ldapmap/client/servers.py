"""Several directory servers: the nearest that are up share the questions; when one cannot tell, another is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ldapmap.client.connection import Encoder
from ldapmap.client.messages import FoundEntry
from ldapmap.client.rotation import Rotation
from ldapmap.client.server import Server
from ldapmap.client.turns import Busy
from ldapmap.errors import ServerFault, Unavailable
from ldapmap.status import DirectoryStatus

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class Servers:
    """Asks the servers of the lowest priority that are up, by weight.

    One that failed is passed over until it answered a probe in the background. When all of them failed, the one that
    failed least recently is asked all the same: a login is never refused on the strength of what happened to another.
    """

    def __init__(self, servers: Sequence[Server], probe: Encoder) -> None:
        self._servers = tuple(sorted(servers, key=lambda server: server.priority))
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._some_failed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        # Searches and binds alternate: with one rotation for both, of two servers one would get all the binds.
        self._for_searches, self._for_binds = Rotation(), Rotation()

    @property
    def healthy(self) -> bool:
        """Some server answered the last time it was asked."""
        return not all(server.breaker.down for server in self._servers)

    def status(self) -> DirectoryStatus:
        """The servers as they are now, the nearest first."""
        return DirectoryStatus(servers=tuple(server.status() for server in self._servers))

    async def start(self) -> None:
        """Connect to the first server that answers, and keep probing those that fail. A dead server is no error."""
        self._keeper = self._loop.create_task(self._keep(), name="ldapmap keeper")
        for server in self._servers:
            if await self._probed(server):
                break

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        for server in self._servers:
            await server.close()

    def search(self, search: Encoder, value: bytes) -> Awaitable[list[FoundEntry]]:
        """At most two entries. Raises AmbiguousUser, or Unavailable when a second server, too, could not tell."""
        return self._ask(self._for_searches, Server.search, search, value)

    def bind(self, dn: bytes, password: bytes) -> Awaitable[None]:
        """Return when this is the password; raise what `results.bind_verdict` says, Unavailable as `search` does."""
        return self._ask(self._for_binds, Server.bind, dn, password)

    async def _ask(
        self, rotation: Rotation, question: Callable[[Server, A, B], Awaitable[T]], first: A, second: B
    ) -> T:
        """One that cannot tell is replaced once; one that turns out to be dead as long as there is another that lives.

        So the first login after several servers died together finds the one that is left.
        """
        asked = [self._choose(rotation, self._servers)]
        while True:
            try:
                return await question(asked[-1], first, second)
            except Busy:
                raise
            except Unavailable as fault:
                self._note(asked[-1])
                another = self._another(rotation, asked, fault)
                if another is None:
                    raise
            asked.append(another)

    def _another(self, rotation: Rotation, asked: list[Server], fault: Unavailable) -> Server | None:
        """The server to ask next; the same one only if there is no other and a new connection may be all it takes."""
        last = asked[-1]
        if len(self._servers) == 1:
            return last if len(asked) == 1 and isinstance(fault, ServerFault) and fault.again else None
        rest = [server for server in self._servers if server not in asked]
        if len(asked) > 1:
            rest = [server for server in rest if last.breaker.down and not server.breaker.down]
        if not rest:
            return None
        another = self._choose(rotation, rest)
        if last.breaker.down and not another.breaker.down:
            last.turn_away()
        return another

    def _choose(self, rotation: Rotation, servers: Sequence[Server]) -> Server:
        if len(servers) == 1:
            return servers[0]
        nearest: list[Server] = []
        for server in servers:  # the lowest priority comes first
            if nearest and server.priority != nearest[0].priority:
                break
            if not server.breaker.down:
                nearest.append(server)
        if nearest:
            return rotation.next(nearest)
        return min(servers, key=lambda server: server.breaker.failed_at)

    def _note(self, server: Server) -> None:
        if server.breaker.down:
            self._some_failed.set()

    async def _keep(self) -> None:
        """Probe servers that failed, one after the other, each when its pause is over."""
        while True:
            await self._some_failed.wait()
            down = [server.breaker for server in self._servers if server.breaker.down]
            if not down:
                self._some_failed.clear()
                continue
            await asyncio.sleep(min(breaker.probe_at for breaker in down) - self._loop.time())
            for server in self._servers:
                if server.breaker.down and server.breaker.probe_at <= self._loop.time():
                    await server.probe(self._probe)

    async def _probed(self, server: Server) -> bool:
        alive = await server.probe(self._probe)
        self._note(server)
        return alive
