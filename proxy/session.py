"""One session, from accept to close, in the order in which it happens."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from director import Client, Lease
from ldapmap import InvalidName, canonical
from proxy.backends import Backends, Link
from proxy.channel import Channel, Upgrade
from proxy.dispatcher import Dispatcher
from proxy.farewell import PATIENCE, QUIET
from proxy.log import SessionLog
from proxy.meters import Meters
from proxy.protocols.credentials import Attempt, Credentials, judge
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.imap import responses as imap
from proxy.protocols.imap.preauth import ImapPreauth
from proxy.protocols.managesieve import responses as managesieve
from proxy.protocols.managesieve.preauth import ManageSievePreauth
from proxy.protocols.pop3 import responses as pop3
from proxy.protocols.pop3.preauth import Pop3Preauth
from proxy.protocols.preauth import Ended, Offer, Preauth
from proxy.protocols.proxyheader import BadHeader, read_header
from proxy.protocols.wire import EndOfStream, Expired, ShuttingDown, TlsFailure, WireFailure
from proxy.recognition import Recognition, identify, within
from proxy.record import Record
from proxy.relay import End, Relay
from proxy.routing import Route, order
from proxy.settings import ListenerSettings, Settings
from proxy.whereabouts import Whereabouts

PREAUTHS: Mapping[str, type[Preauth]] = {"imap": ImapPreauth, "pop3": Pop3Preauth, "managesieve": ManageSievePreauth}

#: What a client that is logged in hears when its session is ended between two responses. A POP3 client takes it for the
#: reply to its next command, and is right: that has not been carried out (RFC 3206 section 4; Dovecot says the same).
_FAREWELLS: Mapping[str, Callable[[Kind], bytes]] = {
    "imap": imap.farewell,
    "pop3": pop3.farewell,
    "managesieve": managesieve.farewell,
}

#: Answered only `auth.failure_delay` after the attempt began, so that neither guessing nor timing is worth while.
_DELAYED = frozenset(
    {Kind.BAD_CREDENTIALS, Kind.NOT_AUTHORIZED, Kind.EXPIRED, Kind.DISABLED, Kind.BACKEND_REFUSED, Kind.ALERT}
)

_logger = logging.getLogger("vestibule.session")


class _ShutOut(Exception):
    """The director wants no connection from the client's address."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all sessions of a worker use."""

    settings: Settings
    dispatcher: Dispatcher
    recognition: Recognition
    director: Client
    backends: Backends
    log: SessionLog


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """What all sessions of one listener have in common, compared by identity, so that sessions are quickly counted by
    it; `upgrade` is None where there is no TLS."""

    settings: ListenerSettings
    offer: Offer
    upgrade: Upgrade | None
    meters: Meters


class Keeper(Protocol):
    """Who keeps the sessions of a worker."""

    def logged_in(self, session: Session) -> None:
        """The session has left its login behind."""

    def half_closed(self, relay: Relay) -> None:
        """The client has closed its direction; the backend may not take forever to finish."""

    def left(self, session: Session) -> None:
        """The session is over."""


class Session:
    """A client's connection and what becomes of it.

    Until the login has succeeded a task runs `run`; afterwards nothing runs: the session is this object, what it has
    written down of itself, a `Relay` and two sockets.
    """

    __slots__ = (
        "_began",
        "_client",
        "_closed_by",
        "_keeper",
        "_last",
        "_lease",
        "_preauth",
        "_record",
        "_relay",
        "_route",
        "_services",
        "_where",
        "busy",
        "door",
        "since",
        "task",
    )

    def __init__(
        self,
        keeper: Keeper,
        services: Services,
        door: Door,
        sock: socket.socket,
        peer: tuple[str, int],
        session_id: str,
    ) -> None:
        now = services.dispatcher.now
        protocol = door.settings.protocol
        self._keeper = keeper
        self._services = services
        self.door = door
        self._record = Record(session_id, protocol, peer, door.meters, now)
        self._lease: Lease | None = None
        self._route: Route | None = Route(
            services.settings, services.director, services.backends, protocol, door.meters, self._record, self._kicked
        )
        self._client = Channel(services.dispatcher, sock, deadline=now() + services.settings.timeouts.login)
        self._client.on_gone = self._gone
        self._client.upgrade = self._start_tls
        self._preauth: Preauth | None = None
        self._relay: Relay | None = None
        self._where = Whereabouts(self._record, services.settings.limits.proxy_ttl)
        self._began = self._last = False
        self.busy = False  # an attempt is under way: the session waits for us, not for its client
        self.since = self._record.started  # loop time of the accept, then of the end of the TLS handshake
        self._closed_by = "vestibule"
        self.task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Everything up to the relay; what goes wrong on the way ends this session and nothing else."""
        self._began, link = True, None
        try:
            await self._arrive()
            link = await self._log_in()
            if link is not None:
                self._splice(link)
        except EndOfStream:
            self._closed_by = "client"
        except asyncio.CancelledError:
            pass  # whoever cancelled has said why
        except Expired:
            await self._bye(Kind.LOGIN_TIMEOUT)
        except ShuttingDown:
            await self._bye(Kind.SHUTDOWN)
        except (TlsFailure, BadHeader) as failure:
            self._record.failure, self._record.detail = Kind.BAD_INPUT, str(failure)
        except _ShutOut:
            self._record.failure, self._record.detail = Kind.LIMIT, "too many connections from this address"
        except Exception:
            _logger.exception("session %s ended by an error of ours", self._record.session)
            await self._bye(Kind.INTERNAL)
        finally:
            self.task = None
            if link is None:
                self._leave(self._closed_by)

    async def _arrive(self) -> None:
        """PROXY header, if the peer is one that must send it; who is allowed in; TLS."""
        client, record, listener = self._client, self._record, self.door.settings
        timeouts = self._services.settings.timeouts
        client.secure = listener.plaintext_auth and listener.tls == "off"
        if listener.proxy_protocol_from:
            client.deadline = record.started + timeouts.proxy_header
            if not within(record.peer[0], listener.proxy_protocol_from):
                raise BadHeader("a peer that may not send a PROXY header")
            proxied = await read_header(client)
            self._where.believe_header(proxied)
            client.secure = client.secure or proxied.tls
            record.passed("proxy_header", record.started)
            if not self._services.director.connected(record.client[0]):
                raise _ShutOut
        if listener.allow_from and not within(record.client[0], listener.allow_from):
            raise BadHeader("a client from a network that is not allowed")
        client.deadline = record.started + timeouts.login
        if listener.tls == "implicit":
            await client.start_tls()

    async def _log_in(self) -> Link | None:
        """Greet, then take attempts until one succeeds or the client has ended the conversation."""
        trusted = within(self._record.client[0], self.door.settings.forwarded_from)
        preauth = PREAUTHS[self._record.protocol](self._client, self.door.offer, trusted=trusted)
        self._preauth = preauth
        began = self._services.dispatcher.now()
        await preauth.greet()
        try:
            while (attempt := await preauth.attempt()) is not None:
                began = self._record.passed("preauth", began)
                link = await self._try(preauth, attempt, began)
                if link is not None:
                    return link
                if self._last:
                    raise ShuttingDown
        except Ended:
            pass
        self._record.failure = self._record.failure or preauth.refused
        if self._record.failure is None:
            self._closed_by = "client"
        return None

    async def _try(self, preauth: Preauth, attempt: Attempt, began: float) -> Link | None:
        """One attempt; a failure is told to the client, who may try again."""
        name, director, record = "", self._services.director, self._record
        try:
            hop, preauth.hop = preauth.hop, None
            self._where.believe_hop(hop)
            credentials = judge(attempt)
            name = self._spelling(credentials)
            began = await self._sit_out(name, began)
            self.busy = True
            link = await self._open(credentials, began + self._services.settings.timeouts.login_budget)
        except Failure as failure:
            await self._refuse(preauth, failure, attempt.mechanism, name, began)
            return None
        except Expired:
            raise
        except Exception:
            _logger.exception("session %s: a login failed by an error of ours", record.session)
            await self._refuse(preauth, Failure(Kind.INTERNAL), attempt.mechanism, name, began)
            return None
        director.passed(name, record.client[0])
        record.passed("total", began)
        record.succeeded()
        return link

    def _spelling(self, credentials: Credentials) -> str:
        """By what name failures are counted: the one that would be searched for; "" for all that cannot be names."""
        settings = self._services.settings
        try:
            typed = identify(credentials, self._client.certificate_user, settings.auth).name
            return canonical(typed, settings.directory.names)
        except InvalidName:
            return ""

    async def _sit_out(self, name: str, began: float) -> float:
        """Wait while failed logins stand against this one, holding nothing but the connection; the time afterwards."""
        client, director, now = self._client, self._services.director, self._services.dispatcher.now
        while wait := await director.attempt(name, self._record.client[0]):
            await asyncio.sleep(max(min(wait, client.deadline - now()), 0))
            began = now()
            if began >= client.deadline:
                raise Expired
        return began

    async def _open(self, credentials: Credentials, until: float) -> Link:
        """The directory, the director, a backend."""
        began = self._services.dispatcher.now()
        record, route, recognition = self._record, self._route, self._services.recognition
        ends = self._where.ends(self._client.sock)
        assert route is not None  # noqa: S101  (it is given up with the login)
        who = await recognition.recognise(
            credentials, self._client.certificate_user, record.client[0], self.door.settings.protocol
        )
        record.user = who.user.user
        record.passed("directory", began)
        origin = self._where.origin(ends, tls=self._client.secure)
        login = order(who, credentials, self._services.settings.backend_login, origin)
        try:
            return await route.reach(who.user, login, ends, until)
        except Failure as failure:
            if failure.kind is not Kind.BACKEND_REFUSED:
                raise
            if not who.verified:
                raise Failure(Kind.BAD_CREDENTIALS, failure.detail) from None
            # LDAP said yes and the backend no: perhaps the user has just been moved, and LDAP knows by now.
            fresh = await recognition.find(who.name, fresh=True)
            if (fresh.shard, fresh.preferred) == (who.user.shard, who.user.preferred):
                raise
            return await route.reach(fresh, login, ends, until)

    async def _refuse(self, preauth: Preauth, failure: Failure, mechanism: str, name: str, began: float) -> None:
        """Tell the client why. A wrong password is answered late; meanwhile the session holds nothing but itself.

        The time counts from when the attempt began: how long the directory took for it tells nothing.
        """
        self._record.failed(failure)
        self.busy = False
        if failure.kind in _DELAYED:
            delay = self._services.settings.auth.failure_delay
            if failure.kind is Kind.BAD_CREDENTIALS:
                delay = max(delay, await self._services.director.failed(name, self._record.client[0]))
            await asyncio.sleep(max(began + delay - self._services.dispatcher.now(), 0))
        await preauth.refuse(failure, mechanism)

    def _splice(self, link: Link) -> None:
        """Tell the client, carry over what either side has already sent, and let the relay have both sockets."""
        services, meters, preauth, route = self._services, self.door.meters, self._preauth, self._route
        assert preauth is not None and route is not None  # noqa: S101, PT018  (what a link has come from)
        self._record.client_id, self._preauth = preauth.client_id, None
        client_sock, to_backend, client_events = self._client.release()
        backend_sock, to_client, backend_events = link.channel.release()
        self._record.settle()
        self._lease, self._route = route.lease, None
        del self._client, self._where
        relay = self._relay = Relay(services.dispatcher, self)
        client = End(relay, client_sock, client_events, meters.to_backend)
        backend = End(relay, backend_sock, backend_events, meters.to_client)
        self._keeper.logged_in(self)
        try:
            relay.start(client, backend, preauth.accept(link.welcome) + to_client, to_backend)
        except BaseException:
            relay.end("vestibule")
            raise

    def half_closed(self, relay: Relay) -> None:
        self._keeper.half_closed(relay)

    def ended(self, relay: Relay, closed_by: str) -> None:
        self._leave(closed_by)

    def _kicked(self, reason: str, now: bool) -> None:
        """The director wants the session to end; a login that is under way goes on where the director says next."""
        if self._relay is None:
            if self._route is not None:
                self._route.kicked()
        elif now:
            self.revoked(reason)
        else:
            self.dismiss(reason, Kind.MOVED)

    def revoked(self, reason: str) -> None:
        """The user may be at another backend already: nothing may go on at the old one, not for a moment.

        The client hears why if it happens to be between two responses.
        """
        if self._relay is not None:
            self._end_quietly(self._relay, reason, Kind.MOVED, 0.0, 0.0)

    def dismiss(self, reason: str, kind: Kind = Kind.SHUTDOWN) -> None:
        """Close the session between two responses, with a farewell, or else in `PATIENCE` seconds; a login at once."""
        if self._relay is not None:
            self._end_quietly(self._relay, reason, kind, QUIET, PATIENCE)
        else:
            self.kick(reason)

    def _end_quietly(self, relay: Relay, reason: str, kind: Kind, quiet: float, patience: float) -> None:
        words = _FAREWELLS[self._record.protocol](kind)
        relay.end_quietly(reason, words, quiet, self._services.dispatcher.now() + patience)

    def kick(self, reason: str, kind: Kind = Kind.SHUTDOWN) -> None:
        """Close the session, whatever it is doing; `kind` is what the log will call the end of a login."""
        if self._relay is not None:
            self._relay.end(reason)
        else:
            self._record.failure, self._record.detail = kind, reason
            self._cancel()

    def _gone(self) -> None:
        """The client's connection has broken while the login was busy elsewhere."""
        self._closed_by = "client"
        self._cancel()

    def _cancel(self) -> None:
        """End a login that is under way."""
        if self.task is None:
            return
        self.task.cancel()
        if not self._began:  # a task that is cancelled before its first step never takes it
            self.task = None
            self._leave(self._closed_by)

    def shut_down(self) -> None:
        """No more logins: a client that has not begun one is told so; a login under way is the last."""
        if self.task is not None:
            self._last = True
            self._client.interrupt(ShuttingDown())

    async def _bye(self, kind: Kind) -> None:
        """The farewell of a conversation that cannot go on, as far as the client still listens."""
        self._record.failure = kind
        if self._preauth is not None:
            self._client.deadline = self._services.dispatcher.now() + self._services.dispatcher.linger
            with suppress(WireFailure):
                await self._preauth.bye(kind)

    def _leave(self, closed_by: str) -> None:
        """The end: the lease goes back, the client's socket is closed, one line is written."""
        if self._lease is not None:
            self._services.director.release(self._lease)
            self._lease = None
        elif self._route is not None:
            self._route.give_back()
        self._route = None
        relay, self._relay = self._relay, None
        if relay is None:
            if closed_by == "client":
                self._record.failure = self._record.failure or Kind.DISCONNECTED
            self._client.part()
            self._client.on_gone = self._client.upgrade = None
        self._keeper.left(self)
        transferred = (relay.client.received, relay.backend.received) if relay else None
        self._services.log.record(self._record.line(self._reached(relay), closed_by, transferred), time.time())

    def _reached(self, relay: Relay | None) -> str:
        """How far the session came."""
        if relay is not None:
            return "relay"
        if self._record.failed_logins:
            return "login"
        return "preauth" if self._preauth is not None else "arrival"

    async def _start_tls(self, channel: Channel) -> None:
        """TLS with its own deadline, within that of the login."""
        began, deadline = self._services.dispatcher.now(), channel.deadline
        if self.door.upgrade is None:
            raise TlsFailure("no TLS on this listener")
        channel.deadline = min(deadline, began + self._services.settings.timeouts.handshake)
        await self.door.upgrade(channel)
        channel.deadline = deadline
        self._record.tls, self._record.cipher = channel.tls_version(), channel.tls_cipher()
        self.since = self._record.passed("tls", began)
