"""Logging in at a backend, over real sockets: every step may fail, each has its deadline, and secrets go where they
may."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tls
from director import Backend
from proxy.backends import Backends, Ends, Link
from proxy.dispatcher import Dispatcher
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.login import Order
from proxy.protocols.origin import Origin
from proxy.protocols.secret import Secret
from proxy.resolver import Resolver
from proxy.settings import ProtocolName
from tests.proxy.front import PASSWORD, Certificates, Clock, site
from tests.proxy.sockets import until
from tests.proxy.talk import Imap, Peer, Server, Talk, gone, says, silent

ENDS = Ends(("192.0.2.7", 5555), ("198.51.100.1", 993))
GREETING = "* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready"
STARTTLS_GREETING = "* OK [CAPABILITY IMAP4rev1 SASL-IR STARTTLS LOGINDISABLED] ready"


class Addresses(Resolver):
    """Knows what it is told."""

    def __init__(self, *known: str) -> None:
        super().__init__(())
        self._addresses = known

    def addresses(self, host: str) -> tuple[str, ...]:
        return self._addresses


class Bench:
    """The way to one backend, and a clock that stands still."""

    def __init__(self, server: Server, resolver: Resolver, certificates: Certificates | None, **login: Any) -> None:
        self.clock = Clock()
        self.dispatcher = Dispatcher(asyncio.get_running_loop())
        self.dispatcher.now = self.clock
        settings = site(server, backend_login=login)
        context = certificates.trusting if certificates else tls.backend_context(None, True)
        self._backends = Backends(self.dispatcher, settings, context, resolver)
        self.port = server.port
        self.connected = 0

    async def log_in(
        self,
        *,
        host: str = "127.0.0.1",
        protocol: ProtocolName = "imap",
        budget: float = 30.0,
        order: Order | None = None,
    ) -> Link:
        """One login."""

        def connected() -> None:
            self.connected += 1

        backend = Backend("mb1a", host, {protocol: self.port})
        until = self.clock() + budget
        wanted = order or Order("alice", Secret(PASSWORD.encode()))
        return await self._backends.log_in(protocol, backend, wanted, ENDS, until=until, connected=connected)

    async def probe(self, budget: float) -> None:
        """One probe, as far as the greeting."""
        backend, nobody = Backend("mb1a", "127.0.0.1", {"imap": self.port}), Order("", Secret(b""))
        await self._backends.probe("imap", backend, nobody, "greeting", until=self.clock() + budget)

    async def fails(self, **how: Any) -> Failure:
        """Why a login fails."""
        with pytest.raises(Failure) as failed:
            await self.log_in(**how)
        return failed.value

    async def expires(self, seconds: float, ready: Callable[[], object]) -> Failure:
        """Why a login fails after `seconds`, and not a moment before, counted from when `ready`."""
        failing = asyncio.create_task(self.fails())
        await until(lambda: self.dispatcher.timed and ready())
        self.pass_time(seconds - 0.01)
        await self.turns()
        assert not failing.done()
        self.pass_time(0.02)
        failure = await failing
        assert not self.dispatcher.timed
        return failure

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and sweep."""
        self.clock.add(seconds)
        self.dispatcher.sweep()

    @staticmethod
    async def turns() -> None:
        """Go round the loop, so that whatever is due happens."""
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def bench(
    talk: Talk, certificates: Certificates | None = None, *, resolver: Resolver | None = None, **login: Any
) -> AsyncIterator[tuple[Bench, Server]]:
    async with Server(talk) as server:
        bench = Bench(server, resolver or Resolver(["127.0.0.1"]), certificates, **login)
        yield bench, server
        bench.dispatcher.stop()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


# --- it works ---


async def test_a_login_without_tls() -> None:
    imap = Imap()
    async with bench(imap) as (way, _):
        link = await way.log_in()
        assert imap.logins == [("", "alice", PASSWORD)]
        assert (way.connected, link.welcome.known.split()[0], link.forwarded) == (1, "IMAP4rev1", False)
        await link.channel.send(b"a NOOP\r\n")
        assert await link.channel.line(100) == b"echo a NOOP"
        link.channel.close()


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_a_login_in_tls(certificates: Certificates, mode: str) -> None:
    imap = Imap(context=certificates.server(), implicit=mode == "implicit")
    async with bench(imap, certificates, tls=mode) as (way, _):
        link = await way.log_in()
        assert imap.logins == [("", "alice", PASSWORD)]
        assert link.channel.secure
        link.channel.close()


async def test_the_client_is_told_of_after_tls_only(certificates: Certificates) -> None:
    clear: list[bytes] = []

    class Watched(Imap):
        def _capability(self, secure: bool) -> str:
            if secure:
                clear.append(server.heard)
            return super()._capability(secure)

    imap = Watched(context=certificates.server())
    origin = Origin("192.0.2.7", 5555, "198.51.100.1", 993, "session1", 7, True)
    async with bench(imap, certificates, tls="starttls") as (way, server):
        link = await way.log_in(order=Order("alice", Secret(b"x"), origin=origin))
        assert link.forwarded
        assert '"x-originating-ip" "192.0.2.7"' in imap.ids[0]
        assert b"192.0.2.7" not in clear[0]
        link.channel.close()


@pytest.mark.parametrize("mode", ["off", "starttls", "implicit"])
async def test_a_proxy_header_goes_ahead_of_everything(certificates: Certificates, mode: str) -> None:
    heads: list[bytes] = []
    context = None if mode == "off" else certificates.server()
    imap = Imap(context=context, implicit=mode == "implicit")

    async def talk(peer: Peer) -> None:
        heads.append(await peer.exactly(28))
        await imap(peer)

    async with bench(talk, certificates, tls=mode, proxy_protocol=True) as (way, _):
        link = await way.log_in()
        addresses = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 5555, 993)
        assert heads == [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + addresses]
        assert imap.logins
        link.channel.close()


async def test_connections_come_from_the_configured_addresses_in_turn() -> None:
    imap = Imap()
    sources: list[str] = []

    async def talk(peer: Peer) -> None:
        sources.append(peer.other[0])
        await imap(peer)

    async with bench(talk, source_addresses=("127.0.0.2", "127.0.0.3")) as (way, _):
        for _ in range(3):
            (await way.log_in()).channel.close()
        assert sources == ["127.0.0.2", "127.0.0.3", "127.0.0.2"]


async def test_a_source_address_of_another_family_is_left_out() -> None:
    async with bench(Imap(), source_addresses=("::1",)) as (way, _):
        (await way.log_in()).channel.close()


async def test_a_source_address_that_is_not_ours_is_a_connect_failure() -> None:
    async with bench(Imap(), source_addresses=("192.0.2.1",)) as (way, server):
        failure = await way.fails()
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "connect: Cannot assign requested address")
        assert not way.dispatcher.timed
        assert not server.peers


# --- it cannot be reached ---


@pytest.mark.parametrize("login", [{}, {"proxy_protocol": True}, {"tls": "implicit"}])
async def test_a_refused_connection_is_a_connect_failure(login: dict[str, Any]) -> None:
    async with bench(Imap(), **login) as (way, server):
        server.refuse()
        failure = await way.fails()
        assert failure.kind is Kind.BACKEND_CONNECT
        assert "refused" in failure.detail
        assert way.connected == 0
        assert not way.dispatcher.timed


async def test_a_host_without_an_address_is_a_connect_failure() -> None:
    async with bench(Imap(), resolver=Addresses()) as (way, _):
        failure = await way.fails(host="mb1.example.org")
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "no address for mb1.example.org")


async def test_of_several_addresses_the_first_that_greets_is_taken() -> None:
    async with bench(Imap(), resolver=Addresses("127.0.0.9", "::1", "127.0.0.1", "127.0.0.8")) as (way, server):
        (await way.log_in()).channel.close()
        assert len(server.peers) == 1
        assert not way.dispatcher.timed


async def test_of_several_addresses_only_one_is_shown_the_password() -> None:
    imap = Imap("NO no")
    async with bench(imap, resolver=Addresses("127.0.0.1", "127.0.0.1")) as (way, server):
        assert (await way.fails()).kind is Kind.BACKEND_REFUSED
        assert len(server.peers) == 1


# --- it hangs ---


@pytest.mark.parametrize("login", [{}, {"proxy_protocol": True}])
async def test_a_backend_that_never_accepts_is_given_up_after_the_time_to_connect(login: dict[str, Any]) -> None:
    with full_backlog() as port:
        way = Bench(Server(silent), Resolver(["127.0.0.1"]), None, **login)
        way.port = port
        failure = await way.expires(3.0, lambda: True)
        assert (failure.kind, "no answer in time" in failure.detail) == (Kind.BACKEND_CONNECT, True)
        assert way.connected == 0
        way.dispatcher.stop()


async def test_a_backend_that_accepts_and_says_nothing_is_given_up_after_the_time_to_greet() -> None:
    async with bench(silent) as (way, server):
        failing = asyncio.create_task(way.fails())
        await until(lambda: server.peers)
        way.pass_time(3.01)  # connected in time: the rest of the time to greet follows
        await way.turns()
        assert not failing.done()
        way.pass_time(6.98)
        await way.turns()
        assert not failing.done()
        way.pass_time(0.02)
        failure = await failing
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "greeting: no answer in time")


async def test_a_backend_behind_a_proxy_header_has_its_own_time_to_greet() -> None:
    async with bench(silent, proxy_protocol=True) as (way, server):
        failure = await way.expires(10.0, lambda: server.heard)
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "greeting: no answer in time")


async def test_a_backend_that_hangs_at_starttls_is_given_up(certificates: Certificates) -> None:
    async with bench(says(STARTTLS_GREETING), certificates, tls="starttls") as (way, server):
        failure = await way.expires(10.0, lambda: b"STARTTLS" in server.heard)
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "TLS: no answer in time")
        assert way.connected == 0


async def test_a_backend_that_hangs_in_the_handshake_is_given_up(certificates: Certificates) -> None:
    async with bench(says(STARTTLS_GREETING, "S OK begin"), certificates, tls="starttls") as (way, server):
        failure = await way.expires(10.0, lambda: b"\x16\x03" in server.heard)
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "TLS: no answer in time")
    async with bench(silent, certificates, tls="implicit") as (way, server):
        failure = await way.expires(10.0, lambda: server.heard)
        assert (failure.kind, failure.detail) == (Kind.BACKEND_CONNECT, "TLS: no answer in time")


async def test_a_backend_that_hangs_at_the_login_is_given_up() -> None:
    async with bench(says(GREETING)) as (way, server):
        failure = await way.expires(20.0, lambda: b"AUTHENTICATE" in server.heard)
        assert (failure.kind, failure.detail) == (Kind.BACKEND_REMOTE, "login: no answer in time")
        assert way.connected == 1


async def test_no_step_takes_longer_than_the_login_has_left() -> None:
    async with bench(says(GREETING)) as (way, server):
        failing = asyncio.create_task(way.fails(budget=5.0))
        await until(lambda: b"AUTHENTICATE" in server.heard)
        way.pass_time(5.01)
        assert (await failing).kind is Kind.BACKEND_REMOTE


async def test_a_cancelled_login_leaves_no_connection_behind() -> None:
    async with bench(silent) as (way, server):
        login = asyncio.create_task(way.log_in())
        await until(lambda: server.peers)
        login.cancel()
        with pytest.raises(asyncio.CancelledError):
            await login
        await server.finished()
        assert not way.dispatcher.timed


# --- it says something else ---


@pytest.mark.parametrize(
    ("talk", "kind", "detail"),
    [
        (gone, Kind.BACKEND_CONNECT, "greeting: the connection was closed"),
        (says("* BYE too many"), Kind.BACKEND_REMOTE, "the backend greets with BYE"),
        (says("220 mail ESMTP"), Kind.BACKEND_PROTOCOL, "no IMAP greeting"),
        (says("* OK " + "x" * 9000), Kind.BACKEND_PROTOCOL, "greeting: a line without an end"),
        (says("* PREAUTH [CAPABILITY IMAP4rev1] hello"), Kind.BACKEND_CONFIG, "the backend greets with PREAUTH"),
        (says(GREETING, "L NO [UNAVAILABLE] later"), Kind.BACKEND_TEMPORARY, "backend answered NO [UNAVAILABLE]"),
        (says(GREETING, "L NO [AUTHENTICATIONFAILED] x"), Kind.BACKEND_REFUSED, None),
        (says(GREETING, "L BAD what"), Kind.BACKEND_REMOTE, None),
        (says(GREETING, "* 3 EXISTS {5}"), Kind.BACKEND_PROTOCOL, "a literal before login"),
        (says(GREETING, "Z OK"), Kind.BACKEND_PROTOCOL, "an answer to no question"),
        (says("* OK [CAPABILITY IMAP2bis] old"), Kind.BACKEND_PROTOCOL, None),
    ],
)
async def test_what_a_backend_says_instead_has_its_kind(talk: Talk, kind: Kind, detail: str | None) -> None:
    async with bench(talk) as (way, server):
        failure = await way.fails()
        assert failure.kind is kind
        assert detail is None or failure.detail == detail
        assert PASSWORD not in failure.detail
        await server.finished()
        assert not way.dispatcher.timed


async def test_a_connection_that_is_lost_at_the_login_is_a_failure_of_the_backend() -> None:
    async def talk(peer: Peer) -> None:
        await peer.send(GREETING.encode() + b"\r\n")
        await peer.line()

    async with bench(talk) as (way, _):
        failure = await way.fails()
        assert (failure.kind, failure.detail) == (Kind.BACKEND_REMOTE, "login: the connection was closed")


# --- it is not to be trusted ---


@pytest.mark.parametrize(
    "talk",
    [
        Imap(),
        says(STARTTLS_GREETING, "S NO not today"),
        says(STARTTLS_GREETING, "S BAD what"),
        says("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] hello"),
        says(STARTTLS_GREETING, "S OK begin\r\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] injected\r\nL OK in"),
    ],
    ids=["no STARTTLS", "NO", "BAD", "PREAUTH", "bytes behind OK"],
)
async def test_a_backend_without_tls_gets_not_one_byte_of_the_credentials(
    certificates: Certificates, talk: Talk
) -> None:
    async with bench(talk, certificates, tls="starttls") as (way, server):
        assert (await way.fails()).kind is Kind.BACKEND_CONFIG
        await server.finished()
        assert b"alice" not in server.heard
        assert b"AUTH" not in server.heard
        assert b"LOGIN" not in server.heard
        assert way.connected == 0


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_a_backend_with_the_wrong_certificate_gets_not_one_byte_of_the_credentials(
    certificates: Certificates, mode: str
) -> None:
    imap = Imap(context=certificates.server(dns=("other.example",), ips=()), implicit=mode == "implicit")
    async with bench(imap, certificates, tls=mode) as (way, server):
        failure = await way.fails()
        assert failure.kind is Kind.BACKEND_CONFIG
        assert "certificate" in failure.detail
        assert imap.logins == []
        assert b"AUTH" not in server.heard


async def test_a_backend_that_answers_implicit_tls_in_clear_is_a_configuration_failure(
    certificates: Certificates,
) -> None:
    async with bench(Imap(), certificates, tls="implicit") as (way, server):
        assert (await way.fails()).kind is Kind.BACKEND_CONFIG
        assert b"AUTH" not in server.heard


# --- only asked whether it is well ---


async def test_of_several_addresses_each_has_its_share_of_a_probes_time() -> None:
    async with bench(Imap(), resolver=Addresses("127.0.0.9", "127.0.0.1")) as (way, server):
        with socket.create_server(("127.0.0.9", way.port)):  # it accepts, and says nothing
            probing = asyncio.create_task(way.probe(2.0))
            await until(lambda: way.dispatcher.timed)
            way.pass_time(0.99)
            await way.turns()
            assert not server.peers
            way.pass_time(0.02)
            await probing
            assert len(server.peers) == 1


async def test_a_cancelled_probe_leaves_no_connection_behind() -> None:
    async with bench(silent) as (way, server):
        probing = asyncio.create_task(way.probe(2.0))
        await until(lambda: server.peers)
        probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing
        await server.finished()
        assert not way.dispatcher.timed


# --- the other protocols ---


async def test_pop3_and_managesieve_are_spoken_too() -> None:
    async with bench(says("+OK ready", "+OK", "+OK in")) as (way, server):
        (await way.log_in(protocol="pop3")).channel.close()
        await server.finished()
        assert server.heard == b"USER alice\r\nPASS " + PASSWORD.encode() + b"\r\n"
    async with bench(says('"SASL" "PLAIN"\r\n"SIEVE" ""\r\nOK', "OK")) as (way, server):
        (await way.log_in(protocol="managesieve")).channel.close()
        await server.finished()
        assert server.heard.startswith(b'AUTHENTICATE "PLAIN" ')


class full_backlog:  # noqa: N801  (reads as a function)
    """A port whose queue is full: connecting to it neither succeeds nor fails."""

    def __enter__(self) -> int:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        port: int = self._listening.getsockname()[1]
        self._waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            self._waiting.append(sock)
        return port

    def __exit__(self, *_: object) -> None:
        for sock in (*self._waiting, self._listening):
            sock.close()
