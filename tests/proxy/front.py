"""What sessions need, in the test's event loop: one listener, a small directory, and time that stands still."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import tls
from director import BackendSettings, Client, DirectorSettings, HealthSettings, Shards, ShardSettings
from ldapmap import DirectorySettings, DirectoryStatus, Entry, UnknownUser, WrongPassword
from proxy.backends import Backends
from proxy.counters import Counters
from proxy.dispatcher import Dispatcher
from proxy.families import families
from proxy.handshake import server_upgrade
from proxy.listening import Acceptor, bind
from proxy.log import Sink, open_session_log
from proxy.meters import Meters
from proxy.protocols.failures import Kind
from proxy.protocols.limits import Limits
from proxy.protocols.preauth import Offer
from proxy.recognition import Recognition
from proxy.relay import Relay
from proxy.resolver import Resolver
from proxy.session import Door, Services, Session
from proxy.settings import (
    AuthSettings,
    BackendLoginSettings,
    ListenerSettings,
    NodeSettings,
    ProtocolName,
    Settings,
    Timeouts,
)
from tests.director.small import SmallDirector
from tests.proxy.sockets import until
from tests.proxy.talk import Peer, Server

PASSWORD = "Tr0ub4dor&3 correct-horse"


class Clock:
    """Seconds that pass only when they are added."""

    def __init__(self) -> None:
        self._now = 1000.0

    def __call__(self) -> float:
        return self._now

    def add(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class People:
    """A directory of users who all have the same password; it fails, waits and changes as a test wants.

    `asked` is every question: ("find", name) and ("verify", user, password). `trouble` is raised by every question, or
    by the one whose first word it is filed under. While `held` is cleared, passwords are not answered.
    """

    healthy = True

    def __init__(self, **shards: str) -> None:
        users = shards or {"alice": "s1", "bob": "s1"}
        self.entries = {user: Entry(user, f"uid={user},dc=example", shard) for user, shard in users.items()}
        self.asked: list[tuple[Any, ...]] = []
        self.trouble: dict[str, Exception] = {}
        self.held = asyncio.Event()
        self.held.set()

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        """The user, in any case."""
        self.asked.append(("find", login_name))
        if "find" in self.trouble:
            raise self.trouble["find"]
        if login_name.lower() not in self.entries:
            raise UnknownUser("no entry has this name")
        return self.entries[login_name.lower()]

    async def verify(self, entry: Entry, password: bytes) -> None:
        """The same password for all."""
        self.asked.append(("verify", entry.user, password))
        await self.held.wait()
        if "verify" in self.trouble:
            raise self.trouble["verify"]
        if password != PASSWORD.encode():
            raise WrongPassword("the server refused the password")

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        """Nothing to tell."""
        return [("typed name", login_name)]

    def status(self) -> DirectoryStatus:
        """No server."""
        return DirectoryStatus(servers=())


def site(
    *servers: Server,
    protocol: ProtocolName = "imap",
    listener: Mapping[str, Any] | None = None,
    **sections: Mapping[str, Any],
) -> Settings:
    """Settings for one listener and a shard whose replicas are these servers, the first one preferred.

    What is not said: the listener takes passwords without TLS, backends get them without TLS, wrong ones are answered
    and other backends tried at once.
    """
    door = {"tls": "off", "plaintext_auth": True} if listener is None else listener
    backends = (
        BackendSettings(name=f"mb1{letter}", host="127.0.0.1", ports={protocol: server.port}, priority=number)
        for number, (letter, server) in enumerate(zip("abcdef", servers, strict=False))
    )
    backend_login: dict[str, Any] = {"tls": "off", **sections.get("backend_login", {})}
    auth: dict[str, Any] = {"failure_delay": 0.0, **sections.get("auth", {})}
    timeouts: dict[str, Any] = {"retry_pause": 0.0, **sections.get("timeouts", {})}
    node: dict[str, Any] = {"name": "front1", "workers": 1, "user": "", **sections.get("node", {})}
    return Settings(
        node=NodeSettings(**node),
        listener=(ListenerSettings(protocol=protocol, address="127.0.0.1:0", **door),),
        directory=DirectorySettings(kind="ldif", file=Path("users.ldif")),
        backend_login=BackendLoginSettings(**backend_login),
        auth=AuthSettings(**auth),
        limits=Limits(**sections.get("limits", {})),
        timeouts=Timeouts(**timeouts),
        shard=(ShardSettings(name="s1", backend=tuple(backends)),),
        director=DirectorSettings(**sections.get("director", {})),
    )


def failing_after(failures: int) -> Mapping[str, Any]:
    """The section `director`, for which a backend is down after so many failures in a row."""
    return {"health": HealthSettings(failures_to_down=failures)}


def small_director(settings: Settings) -> SmallDirector:
    """A director for these settings."""
    return SmallDirector(Shards(settings.shard), settings.director.health.failures_to_down)


def client_of(small: SmallDirector, clock: Callable[[], float]) -> Client:
    """A worker's way to this director."""
    return Client("director.sock", "0/1/cafe", 0, clock, wait=20.0, dial=small.dial)


def two_shards(first: Server, second: Server) -> Settings:
    """As `site`, but the servers are shards of their own: s1 and s2."""
    settings = site(first)
    backend = BackendSettings(name="mb2a", host="127.0.0.1", ports={"imap": second.port})
    return replace(settings, shard=(*settings.shard, ShardSettings(name="s2", backend=(backend,))))


class Certificates:
    """A throw-away authority with a certificate for 127.0.0.1 and localhost, and contexts for either side."""

    def __init__(self, folder: Path, *, alpn: str = "imap", client_ca: bool = False) -> None:
        self.folder = folder
        self.authority = tls.ThrowawayAuthority()
        self.ca_file = self.authority.write_ca(folder / "ca.pem")
        self.files = self.authority.issue(folder, "server", dns=("localhost",), ips=("127.0.0.1",))
        pairs = [tls.read_pair(self.files)]
        self.contexts = tls.ServerContexts(pairs, alpn=alpn, client_ca=self.ca_file if client_ca else None)
        self.trusting = tls.backend_context(self.ca_file, True)

    def client(self, *alpn: str, name: str = "", email: str = "") -> ssl.SSLContext:
        """A client's context that trusts the authority and offers `alpn`; with a certificate for `name`."""
        context = tls.backend_context(self.ca_file, True)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if name or email:
            files = self.authority.issue(
                self.folder, f"client-{name}{email}", common_name=name or "nobody", email=email or None, client=True
            )
            context.load_cert_chain(files.chain, files.key)
        return context

    def server(self, *, dns: tuple[str, ...] = (), ips: tuple[str, ...] = ("127.0.0.1",)) -> ssl.SSLContext:
        """A mail server's context, with a certificate for these names."""
        files = self.authority.issue(self.folder, "backend" + "-".join(dns + ips), dns=dns, ips=ips)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.chain, files.key)
        return context


class Front:
    """One listener with everything behind it; keeps its sessions as a worker does."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        people: People | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.settings = settings
        self.people = people or People()
        self.clock = Clock()
        self.log_file = folder / "log"
        self.sessions: dict[Session, None] = {}
        self.half_closes = 0
        self.dispatcher = Dispatcher(asyncio.get_running_loop(), linger=settings.timeouts.linger)
        self.dispatcher.now = self.clock
        self.director = small_director(settings)
        self.client = client_of(self.director, self.clock)
        self.counters = count_for(settings)
        listener = settings.listener[0]
        self._ids = map("session{}".format, itertools.count(1))
        self._services = self._make_services(folder)
        contexts = certificates.contexts if certificates and listener.tls != "off" else None
        self._door = Door(
            settings=listener,
            offer=Offer(
                limits=settings.limits,
                mechanisms=settings.auth.mechanisms,
                starttls=listener.tls == "starttls",
                plaintext=listener.plaintext_auth,
                sieve_extensions=settings.texts.sieve_extensions,
            ),
            upgrade=server_upgrade(contexts, listener.protocol, settings.auth.certificate_user) if contexts else None,
            meters=meters_for(settings, self.counters),
        )

    async def __aenter__(self) -> Front:
        self.client.start()
        self._listening = bind(self.settings.listener[0])
        self.address: tuple[str, int] = self._listening.getsockname()
        self._acceptor = Acceptor(self.dispatcher, self._listening, self.admit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._acceptor.stop()
        self._listening.close()
        for session in tuple(self.sessions):
            session.kick("test over")
        await until(lambda: not self.sessions)
        await self.client.close()
        self.dispatcher.stop()

    # The keeper of the sessions.

    def logged_in(self, session: Session) -> None:
        """Nothing to do."""

    def half_closed(self, relay: Relay) -> None:
        """Count it."""
        self.half_closes += 1

    def left(self, session: Session) -> None:
        """Forget it."""
        self.sessions.pop(session, None)

    # What tests do.

    async def connect(self) -> Peer:
        """A client that has read nothing yet."""
        return await Peer.connect(self.address)

    async def greeted(self) -> Peer:
        """A client that has read the greeting."""
        peer = await self.connect()
        await peer.line()
        return peer

    async def logged_in_as(self, user: str) -> Peer:
        """A client whose login has succeeded (IMAP)."""
        peer = await self.greeted()
        answer = await peer.ask(login(user))
        assert b"a OK" in answer, answer
        return peer

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and sweep."""
        self.clock.add(seconds)
        self.dispatcher.sweep()

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        self._services.log.flush(0.0)
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    async def ended(self) -> dict[str, Any]:
        """The last log line, once all sessions have ended."""
        await until(lambda: not self.sessions)
        return self.lines()[-1]

    def failures(self) -> dict[str, int]:
        """Logins by their outcome, those that have happened."""
        counted = {
            name: self.counters.number("logins_total", (self._door.settings.protocol, name)) for name in OUTCOMES
        }
        return {name: int(count) for name, count in counted.items() if count}

    def admit(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        """Begin a session on an accepted socket."""
        session = Session(self, self._services, self._door, sock, peer, next(self._ids))
        self.sessions[session] = None
        session.task = self.dispatcher.loop.create_task(session.run())

    def _make_services(self, folder: Path) -> Services:
        settings = self.settings
        context = tls.backend_context(settings.backend_login.ca_file, settings.backend_login.verify)
        resolver = Resolver(backend.host for backend in settings.backends)
        return Services(
            settings=settings,
            dispatcher=self.dispatcher,
            recognition=Recognition(self.people, settings.auth),
            director=self.client,
            backends=Backends(self.dispatcher, settings, context, resolver),
            log=open_session_log(settings.log, Sink(self.log_file)),
        )


OUTCOMES = ("ok", *(kind.value for kind in Kind))


def count_for(settings: Settings, workers: int = 1) -> Counters:
    """The counters of a daemon with these settings."""
    names = [backend.name for backend in settings.backends]
    table = families(protocols=settings.protocols, backends=names, outcomes=OUTCOMES[1:], certificates=[])
    return Counters(table, workers)


def meters_for(settings: Settings, counters: Counters) -> Meters:
    """The meters of the first worker's first listener."""
    names = tuple(backend.name for backend in settings.backends)
    return Meters(counters.workers[0], settings.listener[0].protocol, names)


def login(user: str = "alice", password: str = PASSWORD, tag: str = "a") -> bytes:
    """An IMAP LOGIN command."""
    return f'{tag} LOGIN "{user}" "{password}"'.encode()


def plain(user: str = "alice", password: str = PASSWORD, *, authzid: str = "") -> bytes:
    """A SASL PLAIN message in base64."""
    return base64.b64encode(f"{authzid}\0{user}\0{password}".encode())
