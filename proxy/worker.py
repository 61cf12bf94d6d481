"""A worker process: accepts connections and owns its sessions; it needs nobody to keep a running session running."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import NoReturn

import uvloop

from director import Backend, Client
from ldapmap import Directory, MemoryLine, open_directory
from proxy import control, privileges
from proxy.backends import Backends
from proxy.dispatcher import Dispatcher
from proxy.estate import Estate
from proxy.farewell import PATIENCE, QUIET
from proxy.handshake import server_upgrade
from proxy.listening import Acceptor, Admit
from proxy.localsockets import DIRECTOR
from proxy.log import open_session_log
from proxy.memory import Trimmer
from proxy.meters import DirectoryMeters, Meters
from proxy.naming import name_process
from proxy.outgoing import directory_context, login_context
from proxy.protocols.failures import Kind
from proxy.protocols.preauth import Offer
from proxy.recognition import Recognition
from proxy.relay import Relay
from proxy.resolver import Resolver
from proxy.session import Door, Services, Session
from proxy.settings import Settings
from proxy.whereabouts import unmapped

#: Seconds between two sweeps over deadlines, the log and the heartbeat.
_SWEEP = 0.5
#: Seconds without a login that succeeds, after which full places mean an attack and not a storm, in which the first of
#: a thousand that begin together succeeds within two.
_STALL = 4.0
#: Of how many of the oldest connections the one that gives way is chosen.
_LOOKED_AT = 64
#: Descriptors kept for everything that is not a session: LDAP, listening sockets, the log.
_RESERVED = 200
#: Seconds that clients wait at the door until the director has said which backends there are.
_BACKENDS_WITHIN = 3.0
#: Seconds beyond `director.assign_wait`, so that the director itself says why a login has waited in vain.
_GRACE = 1.0

_logger = logging.getLogger("vestibule.worker")

_DOOR = attrgetter("door")


class HalfClosed:
    """A session whose client has closed its direction, until the backend has too or nothing moves any more."""

    def __init__(self, relay: Relay, dispatcher: Dispatcher, patience: float) -> None:
        self._relay = relay
        self._dispatcher = dispatcher
        self._patience = patience
        self._seen = relay.backend.received
        self.deadline = dispatcher.now() + patience

    def expire(self) -> None:
        """End the session unless something has moved since the last time."""
        if self._relay.over or self._relay.backend.received == self._seen:
            del self._dispatcher.timed[self]
            self._relay.end("half_close")
            return
        self._seen = self._relay.backend.received
        self.deadline = self._dispatcher.now() + self._patience


class Worker:
    """The sessions of one process, and what they use."""

    def __init__(
        self,
        estate: Estate,
        slot: int,
        directory: Directory,
        meters: DirectoryMeters,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        settings = estate.settings
        self._estate = estate
        self._sockets = estate.sockets[slot]
        self._settings = settings
        self._directory = directory
        self._directory_meters = meters
        self._slab = estate.counters.workers[slot]
        self._dispatcher = Dispatcher(loop, linger=settings.timeouts.linger)
        self._resolver = Resolver(backend.host for backend in settings.backends)
        self._log = open_session_log(settings.log, estate.sink)
        self._lost = self._slab.counter("log_lines_dropped_total")
        self._lost_before = 0
        self._trimmer = Trimmer()
        self._ids: Iterator[str] = map(f"{os.urandom(5).hex()}{slot:02x}{{:x}}".format, itertools.count(1))
        self._sessions: dict[Session, None] = {}
        self._logins: dict[Session, None] = {}
        self._acceptors: list[Acceptor] = []
        self._last_login = self._dispatcher.now()
        self._hurry = asyncio.Event()
        self._draining = asyncio.Event()
        self._empty = asyncio.Event()
        self._most = settings.node.max_connections or most_sessions()
        self._knows_backends = asyncio.Event()
        self._director = self._make_director(slot)
        self._services = self._make_services()

    async def run(self, line: socket.socket) -> None:
        """Serve until told to drain, then until the last session has ended or `timeouts.drain` has passed."""
        loop = self._dispatcher.loop
        reader, writer = await asyncio.open_connection(sock=line)
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        self._director.start()
        await self._directory.start()
        await self._resolver.look_up()
        with suppress(asyncio.TimeoutError):  # then logins wait instead, and hear why in the end
            await asyncio.wait_for(self._knows_backends.wait(), _BACKENDS_WITHIN)
        tasks = [loop.create_task(self._resolver.run()), loop.create_task(self._obey(reader))]
        self._open_doors()
        self._sweep()
        writer.write(control.READY)
        await self._draining.wait()
        await self._drain()
        for task in tasks:
            task.cancel()
        await self._director.close()
        await self._directory.close()
        self._log.flush(time.time())

    # What the sessions tell.

    def logged_in(self, session: Session) -> None:
        self._logins.pop(session, None)
        self._last_login = self._dispatcher.now()

    def half_closed(self, relay: Relay) -> None:
        timed = HalfClosed(relay, self._dispatcher, self._settings.timeouts.half_close)
        self._dispatcher.timed[timed] = None

    def left(self, session: Session) -> None:
        self._logins.pop(session, None)
        self._sessions.pop(session, None)
        self._trimmer.ended()
        if not self._sessions and self._draining.is_set():
            self._empty.set()
            self._hurry.set()

    # What the worker does.

    def _told_to_stop(self) -> None:
        """SIGTERM: sessions have `timeouts.drain` from now on. Without it, as an orphan, they have all the time."""
        self._hurry.set()
        self._draining.set()

    def _make_director(self, slot: int) -> Client:
        """The way to the director, under a name that no other life of a worker has."""
        settings, life = self._settings, f"{slot}/{os.getpid()}/{os.urandom(4).hex()}"
        wait = settings.director.assign_wait + _GRACE
        director = Client(str(settings.node.run_dir / DIRECTOR), life, slot, self._dispatcher.now, wait=wait)
        director.on_backends = self._learn
        return director

    def _learn(self, backends: Mapping[str, Backend]) -> None:
        """The backends have changed: those of directory entries are not in the settings."""
        self._resolver.follow(backend.host for backend in backends.values())
        if backends:
            self._knows_backends.set()

    def _make_services(self) -> Services:
        settings = self._settings
        context = login_context(settings.backend_login)
        return Services(
            settings=settings,
            dispatcher=self._dispatcher,
            recognition=Recognition(self._directory, settings.auth),
            director=self._director,
            backends=Backends(self._dispatcher, settings, context, self._resolver),
            log=self._log,
        )

    def _open_doors(self) -> None:
        names = tuple(backend.name for backend in self._settings.backends)
        meters = {name: Meters(self._slab, name, names) for name in self._settings.protocols}
        for listener, sock, contexts in zip(self._settings.listener, self._sockets, self._estate.contexts, strict=True):
            user = self._settings.auth.certificate_user
            upgrade = None if contexts is None else server_upgrade(contexts, listener.protocol, user)
            offer = Offer(
                limits=self._settings.limits,
                mechanisms=self._settings.auth.mechanisms,
                starttls=listener.tls == "starttls",
                plaintext=listener.plaintext_auth,
                sieve_extensions=self._settings.texts.sieve_extensions,
            )
            door = Door(listener, offer, upgrade, meters[listener.protocol])
            self._acceptors.append(Acceptor(self._dispatcher, sock, self._admit_through(door), self._has_room))

    def _admit_through(self, door: Door) -> Admit:
        loop, services, sessions, logins = self._dispatcher.loop, self._services, self._sessions, self._logins

        behind_proxy = bool(door.settings.proxy_protocol_from)  # then its header says who it is

        def admit(sock: socket.socket, peer: tuple[str, int]) -> None:
            address = unmapped(peer[0])
            if not (behind_proxy or services.director.connected(address)) or not self._make_room():
                sock.close()
                return
            session = Session(self, services, door, sock, (address, peer[1]), next(self._ids))
            sessions[session] = logins[session] = None
            door.meters.connection()
            session.task = loop.create_task(session.run())

        return admit

    def _has_room(self) -> bool:
        """Whether another connection should be taken now.

        In a storm newcomers wait in the kernel's queue for those who came first. But connections that do not log in
        hold nobody up: when no login has succeeded for a moment that it was there for, or `login_patience` has passed
        since the connection or its handshake, it gives way. An attempt under way is not disturbed, however slow
        directory and backends are: it has deadlines of its own.
        """
        node = self._settings.node
        if len(self._logins) < node.max_logins:
            return True
        now, idlest = self._dispatcher.now(), self._idlest()
        if idlest is None:
            return False
        return now - idlest.since >= node.login_patience or now - max(self._last_login, idlest.since) >= _STALL

    def _idlest(self) -> Session | None:
        """Of the oldest connections that wait for their own client, the one that has waited longest."""
        oldest = itertools.islice((session for session in self._logins if not session.busy), _LOOKED_AT)
        return min(oldest, key=lambda session: session.since, default=None)

    def _make_room(self) -> bool:
        """Whether one more session fits; the connection that has waited longest for its login gives way."""
        if len(self._logins) < self._settings.node.max_logins and len(self._sessions) < self._most:
            return True
        idlest = self._idlest()
        if idlest is None:
            return False
        del self._logins[idlest]
        idlest.kick("max_logins", Kind.LIMIT)
        return True

    def _sweep(self) -> None:
        self._dispatcher.sweep()
        self._log.flush(time.time())
        self._lost.add(self._log.dropped - self._lost_before)
        self._lost_before = self._log.dropped
        self._trimmer.sweep()
        self._slab.gauge("worker_heartbeat_seconds").set(time.monotonic())
        self._slab.gauge("directory_up").set(self._directory.healthy)
        self._directory_meters.show(self._directory.status())
        self._slab.gauge("worker_accepting").set(not self._draining.is_set())
        self._count_sessions()
        self._dispatcher.loop.call_later(_SWEEP, self._sweep)

    def _count_sessions(self) -> None:
        """Gauges come from the set of live sessions, never from additions and subtractions."""
        counts: dict[tuple[str, str], int] = {(one.protocol, one.tls): 0 for one in self._settings.listener}
        for door, count in Counter(map(_DOOR, self._sessions)).items():
            counts[door.settings.protocol, door.settings.tls] += count
        for labels, count in counts.items():
            self._slab.gauge("sessions", *labels).set(count)

    async def _obey(self, reader: asyncio.StreamReader) -> None:
        while (order := await control.receive(reader)) is not None:
            for contexts in self._estate.contexts:
                if contexts is not None:
                    contexts.replace(order.certificates)
            try:
                self._log.reopen()
            except OSError as error:
                _logger.warning("the log file cannot be opened again: %s", error.strerror)
        # The supervisor is gone: whoever follows it has workers of its own. Our sessions stay until they end.
        self._draining.set()

    async def _drain(self) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        self._estate.close_listening()
        for session in tuple(self._logins):
            session.shut_down()
        if self._sessions:
            await self._hurry.wait()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self._settings.timeouts.drain)
        await self._dismiss_all()
        for session in tuple(self._sessions):
            session.kick("shutdown")
        await asyncio.sleep(0)

    async def _dismiss_all(self) -> None:
        """End every session with a farewell where that can be, in `PATIENCE` seconds and a bit."""
        until = self._dispatcher.now() + PATIENCE + QUIET
        for session in tuple(self._sessions):
            session.dismiss("shutdown")
        while self._sessions and self._dispatcher.now() < until:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._empty.wait(), QUIET)
            self._dispatcher.sweep()


def most_sessions() -> int:
    """How many sessions the limit on open descriptors allows, two for each."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max((soft - _RESERVED) // 2, 1)


def run_worker(estate: Estate, slot: int, line: socket.socket) -> NoReturn:
    """The whole life of a worker's process, from the fork on; never returns."""
    status = 1
    try:
        memory = None if estate.memory is None else estate.memory.line(slot)
        name_process(f"vestibule-w{slot}")
        estate.counters.workers[slot].start()
        meters = DirectoryMeters(estate.counters.workers[slot], estate.settings.directory_servers)
        directory = _open_directory(estate.settings, meters, memory)
        privileges.drop(estate.settings.node)
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(estate, slot, directory, meters, line))
        status = 0
    except Exception:
        _logger.exception("worker %d ended by an error", slot)
    finally:
        os._exit(status)


def _open_directory(settings: Settings, meters: DirectoryMeters, memory: MemoryLine | None) -> Directory:
    return open_directory(
        settings.directory,
        directory_context(settings.directory),
        meters=meters,
        mirror=settings.mirror_path,
        memory=memory,
    )


async def _serve(estate: Estate, slot: int, directory: Directory, meters: DirectoryMeters, line: socket.socket) -> None:
    await Worker(estate, slot, directory, meters, asyncio.get_running_loop()).run(line)
