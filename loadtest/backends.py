"""A simulated mail server in this process: IMAP, POP3 and ManageSieve, with one mailbox per user."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Literal, Protocol

from loadtest.host import Host, Watch
from loadtest.imap_server import ImapServer
from loadtest.mailbox import Mailboxes
from loadtest.pop3_server import Pop3Server
from loadtest.sieve_server import SieveServer
from loadtest.streams import StreamWire, TellingWire
from proxy.protocols.wire import WireFailure

BACKLOG = 4096
"""Connections the kernel may queue."""


class Server(Protocol):
    """One conversation with a client."""

    def __init__(self, wire: TellingWire, host: Host) -> None: ...

    async def serve(self) -> None:
        """Hold it."""


SERVERS: Mapping[str, type[Server]] = {"imap": ImapServer, "pop3": Pop3Server, "managesieve": SieveServer}


class Backend:
    """One mail server, alive inside `async with`; `host.logins` tells who came.

    `ports` maps protocols to the ports they got; ask for particular ones with `ports`, 0 being any. Without `users`
    everybody has a mailbox. `mailboxes` and `watch` are the host's. It trusts its peer wholly, so let it listen on a
    loopback address only.
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
        mailboxes: Mailboxes | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.ports = dict.fromkeys(SERVERS, 0) | dict(ports or {})
        self.host = Host(name, users, starttls=tls == "starttls", mailboxes=mailboxes, watch=watch)
        self._implicit = context if tls == "implicit" else None
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._kept: dict[str, socket.socket] = {}
        self._sessions: dict[asyncio.Task[None], StreamWire] = {}

    async def __aenter__(self) -> Backend:
        try:
            for protocol in SERVERS:
                await self._listen(protocol, self._bound(protocol))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def kill(self) -> None:
        """Be dead: connections are refused, and those there are have been reset on return. The ports stay ours."""
        if self._kept:
            return
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._kept = {protocol: self._bound(protocol) for protocol in SERVERS}
        for wire in self._sessions.values():
            wire.reset()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def revive(self) -> None:
        """Listen again, at the same ports."""
        while self._kept:
            protocol, sock = self._kept.popitem()
            await self._listen(protocol, sock)

    def _bound(self, protocol: str) -> socket.socket:
        """A socket that does not listen yet. Raises OSError when the address cannot be used."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.address, self.ports[protocol]))
        except BaseException:
            sock.close()
            raise
        self.ports[protocol] = sock.getsockname()[1]
        return sock

    async def _listen(self, protocol: str, sock: socket.socket) -> None:
        def begin(wire: StreamWire) -> None:
            session = loop.create_task(self._converse(SERVERS[protocol], wire))
            self._sessions[session] = wire

        loop = asyncio.get_running_loop()
        self._servers.append(
            await loop.create_server(
                lambda: StreamWire(begin, self._context), sock=sock, backlog=BACKLOG, ssl=self._implicit
            )
        )

    async def _converse(self, server: type[Server], wire: StreamWire) -> None:
        try:
            with contextlib.suppress(WireFailure):
                await server(wire, self.host).serve()
        finally:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 (it is one)
            del self._sessions[task]
            wire.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for sock in self._kept.values():
            sock.close()
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
