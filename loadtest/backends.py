"""A simulated mail server in this process: IMAP, POP3 and ManageSieve, with one small mailbox per user."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Literal, Protocol

from loadtest.host import Host
from loadtest.imap_server import ImapServer
from loadtest.pop3_server import Pop3Server
from loadtest.sieve_server import SieveServer
from loadtest.streams import BUFFER, StreamWire
from proxy.protocols.wire import Wire, WireFailure

BACKLOG = 4096
"""Connections the kernel may queue."""


class Server(Protocol):
    """One conversation with a client."""

    def __init__(self, wire: Wire, host: Host) -> None: ...

    async def serve(self) -> None:
        """Hold it."""


SERVERS: Mapping[str, type[Server]] = {"imap": ImapServer, "pop3": Pop3Server, "managesieve": SieveServer}


class Backend:
    """One mail server, alive inside `async with`; `host.logins` tells who came.

    `ports` maps protocols to the ports they got; ask for particular ones with `ports`, 0 being any. Without `users`
    everybody has a mailbox. It trusts its peer wholly, so let it listen on a loopback address only.
    """

    def __init__(
        self,
        name: str,
        address: str = "127.0.0.1",
        *,
        users: Collection[str] | None = None,
        ports: Mapping[str, int] | None = None,
        tls: Literal["off", "starttls", "implicit"] = "off",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.ports = dict.fromkeys(SERVERS, 0) | dict(ports or {})
        self.host = Host(name, users, starttls=tls == "starttls")
        self._implicit = context if tls == "implicit" else None
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Backend:
        try:
            for protocol in SERVERS:
                await self._listen(protocol)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _listen(self, protocol: str) -> None:
        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._converse(SERVERS[protocol], reader, writer)

        server = await asyncio.start_server(
            converse, self.address, self.ports[protocol], limit=BUFFER, backlog=BACKLOG, ssl=self._implicit
        )
        self._servers.append(server)
        self.ports[protocol] = server.sockets[0].getsockname()[1]

    async def _converse(self, server: type[Server], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (asyncio runs every connection in a task)
        self._sessions.add(task)
        try:
            with contextlib.suppress(WireFailure):
                await server(StreamWire(reader, writer, self._context), self.host).serve()
        finally:
            self._sessions.discard(task)
            writer.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
