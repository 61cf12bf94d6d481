"""A connection to a backend, from connect to the login's answer; each step has its own deadline and its own failure."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

from director import Backend
from proxy.channel import Channel
from proxy.dispatcher import READ, WRITE, Dispatcher
from proxy.handshake import client_upgrade
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.imap.login import ImapLogin
from proxy.protocols.login import Login, Order
from proxy.protocols.managesieve.login import ManageSieveLogin
from proxy.protocols.pop3.login import Pop3Login
from proxy.protocols.preauth import Welcome
from proxy.protocols.proxyheader import LOCAL, header
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure, WireFailure
from proxy.resolver import Resolver
from proxy.settings import ProtocolName, Settings
from proxy.socketoptions import tune

LOGINS: Mapping[ProtocolName, type[Login]] = {"imap": ImapLogin, "pop3": Pop3Login, "managesieve": ManageSieveLogin}

Depth = Literal["connect", "greeting", "tls", "login"]
"""How far a conversation goes: until the backend accepts, has greeted (in TLS, where that comes first), has TLS if
`[backend_login]` wants it, or has logged somebody in."""

_FAREWELLS: Mapping[ProtocolName, bytes] = {"imap": b"Q LOGOUT\r\n", "pop3": b"QUIT\r\n", "managesieve": b"LOGOUT\r\n"}

#: Linux: choose the source port at connect, by the whole four-tuple, so that one address serves 64 K to each backend.
_IP_BIND_ADDRESS_NO_PORT = 24


class Ends(NamedTuple):
    """Both ends of a client's connection, for a PROXY header."""

    client: tuple[str, int]
    server: tuple[str, int]


class Link(NamedTuple):
    """A connection on which the backend has accepted the login."""

    channel: Channel
    welcome: Welcome
    forwarded: bool


class _Errand(NamedTuple):
    """Whose conversation it is (nobody's, if it only asks whether the backend is well), its end, how far it goes."""

    ends: Ends | None
    until: float
    depth: Depth = "login"
    connected: Callable[[], None] = lambda: None


class Backends:
    """Opens connections to backends and logs in on them."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings, context: ssl.SSLContext, resolver: Resolver) -> None:
        self._dispatcher = dispatcher
        self._settings = settings
        self._login = settings.backend_login
        self._timeouts = settings.timeouts
        self._context = context
        self._resolver = resolver
        self.now = dispatcher.now
        self._sources = itertools.cycle(self._login.source_addresses or ("",))

    async def log_in(
        self,
        protocol: ProtocolName,
        backend: Backend,
        order: Order,
        ends: Ends,
        *,
        until: float,
        connected: Callable[[], None],
    ) -> Link:
        """Connect and log in, before the loop time `until`; `connected` is called between the two.

        Raises `Failure`: BACKEND_CONNECT for a backend that cannot be reached or is silent, BACKEND_CONFIG for one that
        has no TLS or the wrong certificate, BACKEND_PROTOCOL for one that speaks something else, BACKEND_REMOTE for one
        that fails at the login, and whatever the answer to the login means.
        """
        return await self._reach(protocol, backend, order, _Errand(ends, until, connected=connected))

    async def probe(
        self, protocol: ProtocolName, backend: Backend, order: Order, depth: Depth, *, until: float
    ) -> None:
        """Go as far as `depth` before the loop time `until`, as a login does, and take leave; raises as `log_in`.

        Of several addresses each gets its share of the time. `order` is for the depth "login".
        """
        link = await self._reach(protocol, backend, order, _Errand(None, until, depth))
        try:
            if depth != "connect":
                with suppress(WireFailure):
                    await link.channel.send(_FAREWELLS[protocol])
        finally:
            link.channel.part()

    async def _reach(self, protocol: ProtocolName, backend: Backend, order: Order, errand: _Errand) -> Link:
        """A connection to the first of the backend's addresses where it comes to a conversation."""
        port = self._settings.backend_port(backend.ports, protocol)
        failure = Failure(Kind.BACKEND_CONNECT, f"no address for {backend.host}")
        addresses = self._resolver.addresses(backend.host)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            part = errand if errand.ends is not None else errand._replace(until=self._share(errand.until, left))
            channel = self._open((address, port), part)
            channel.upgrade = client_upgrade(self._context, backend.host)
            login = LOGINS[protocol](channel, order, self._settings.limits)
            try:
                welcome = await self._converse(channel, login, part)
            except Failure as found:
                channel.close()
                failure = found
                if found.kind is not Kind.BACKEND_CONNECT:
                    break
            except BaseException:
                channel.close()
                raise
            else:
                return Link(channel, welcome, login.forwarded)
        raise failure

    async def _converse(self, channel: Channel, login: Login, errand: _Errand) -> Welcome:
        """What is said from connect to login; what the wire raises is translated here and nowhere else."""
        timeouts, tls, until, depth = self._timeouts, self._login.tls, errand.until, errand.depth
        step, kind = "connect", Kind.BACKEND_CONNECT
        try:
            if self._speaks_first or depth == "connect":
                await self._connected(channel)
            if depth == "connect":
                return Welcome()
            if self._login.proxy_protocol:
                await channel.send(header(errand.ends.client, errand.ends.server) if errand.ends else LOCAL)
            if tls == "implicit":
                step, channel.deadline = "TLS", self._deadline(timeouts.backend_tls, until)
                await channel.start_tls()
            if self._speaks_first:
                channel.deadline = self._deadline(timeouts.backend_greeting, until)
            step = "greeting"
            await login.greeting()
            channel.more_time = None
            if depth == "greeting":
                return Welcome()
            if tls == "starttls":
                step, channel.deadline = "TLS", self._deadline(timeouts.backend_tls, until)
                await login.secure()
            if depth == "tls":
                return Welcome()
            errand.connected()
            step, kind = "login", Kind.BACKEND_REMOTE
            channel.deadline = self._deadline(timeouts.backend_login, until)
            return await login.authenticate()
        except WireFailure as failure:
            raise _translated(failure, step, kind) from None

    @property
    def _speaks_first(self) -> bool:
        """Whether we have something to say before the backend greets; else its greeting tells that we are connected."""
        return self._login.proxy_protocol or self._login.tls == "implicit"

    def _open(self, address: tuple[str, int], errand: _Errand) -> Channel:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            tune(sock)
            self._bind(sock)
            sock.connect_ex(address)  # what becomes of it is seen when the socket is ready, or is not in time
        except OSError as error:
            sock.close()
            raise Failure(Kind.BACKEND_CONNECT, f"connect: {error.strerror}") from None
        deadline = self._deadline(self._timeouts.backend_connect, errand.until)
        armed = WRITE if self._speaks_first or errand.depth == "connect" else READ
        channel = Channel(self._dispatcher, sock, deadline=deadline, armed=armed)
        channel.more_time = lambda: self._greeting_time(sock, errand.until)
        return channel

    def _bind(self, sock: socket.socket) -> None:
        source = next(self._sources)
        if source and (":" in source) == (sock.family == socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))

    def _greeting_time(self, sock: socket.socket, until: float) -> float:
        """The time to connect is over: whoever is connected by now gets the rest of the time to greet."""
        try:
            sock.getpeername()
        except OSError:
            return 0.0
        return self._deadline(self._timeouts.backend_greeting - self._timeouts.backend_connect, until)

    async def _connected(self, channel: Channel) -> None:
        await channel.wait(WRITE)
        channel.more_time = None
        error = channel.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise EndOfStream(os.strerror(error))

    def _share(self, until: float, addresses: int) -> float:
        """The end of what one address gets of the time up to `until`, when so many are left."""
        now = self._dispatcher.now()
        return now + (until - now) / addresses

    def _deadline(self, seconds: float, until: float) -> float:
        return min(self._dispatcher.now() + seconds, until)


def _translated(failure: WireFailure, step: str, kind: Kind) -> Failure:
    """What it means for the login that the wire failed at `step`, where `kind` stands for a backend that is away."""
    if isinstance(failure, Expired):
        return Failure(kind, f"{step}: no answer in time")
    if isinstance(failure, TlsFailure):
        return Failure(Kind.BACKEND_CONFIG, f"{step}: {failure}")
    if isinstance(failure, EndOfStream):
        return Failure(kind, f"{step}: {str(failure) or 'the connection was closed'}")
    return Failure(Kind.BACKEND_PROTOCOL, f"{step}: a line without an end")
