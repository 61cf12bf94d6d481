"""Several directory servers in order: the first that is up is asked, another once when it cannot answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ldapmap.connection import Encoder
from ldapmap.errors import ServerFault, Unavailable
from ldapmap.pool import Server

T = TypeVar("T")


class Servers:
    """Asks servers, nearest first. One that failed is passed over until it answered a probe in the background.

    When all of them failed, the one that failed least recently is asked all the same: a login is never refused on the
    strength of what happened to another.
    """

    def __init__(self, servers: Sequence[Server], probe: Encoder) -> None:
        self._servers = tuple(servers)
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._some_failed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        """Some server answered the last time it was asked."""
        return not all(server.breaker.down for server in self._servers)

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
            server.close()

    async def ask(self, question: Callable[[Server], Awaitable[T]]) -> T:
        """The answer of the first server that is up, or of a second one when the first cannot tell.

        Raises whatever the question raises; Unavailable only when the second attempt ended with it, too.
        """
        server = self._choose(self._servers)
        try:
            return await question(server)
        except Unavailable as fault:
            second = self._second(server, fault)
            if second is None:
                raise
        try:
            return await question(second)
        finally:
            self._note(second)

    def _second(self, first: Server, fault: Unavailable) -> Server | None:
        """Another server; the same one only if there is no other and a new connection may be all it takes."""
        self._note(first)
        others = [server for server in self._servers if server is not first]
        if others:
            return self._choose(others)
        return first if isinstance(fault, ServerFault) and fault.again else None

    def _choose(self, servers: Sequence[Server]) -> Server:
        for server in servers:
            if not server.breaker.down:
                return server
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
