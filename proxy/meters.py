"""The numbers of a worker as sessions and directory count them: looked up once, then plain additions."""

from __future__ import annotations

from ldapmap import (
    OPERATIONS,
    OUTCOMES,
    REMEMBERED,
    SOURCES,
    DirectoryStatus,
    MirrorStatus,
    Operation,
    Outcome,
    Remembered,
    ServerStatus,
    Source,
)
from proxy.counters import Slab
from proxy.families import PHASES
from proxy.relay import Meter


class Meters:
    """What the sessions of one protocol count.

    `connection`, `to_client` and `to_backend` take an amount; `phase` has, for every step of a login, what takes its
    seconds.
    """

    __slots__ = ("_connects", "_logins", "_own", "_untrusted", "connection", "phase", "to_backend", "to_client")

    def __init__(self, slab: Slab, protocol: str, backends: tuple[str, ...]) -> None:
        self.connection = slab.counter("connections_total", protocol).add
        self.to_client: Meter = slab.counter("relayed_bytes_total", protocol, "to_client").add
        self.to_backend: Meter = slab.counter("relayed_bytes_total", protocol, "to_backend").add
        self._logins = slab.counters("logins_total", protocol)
        self.phase = {phase: slab.histogram("login_phase_seconds", protocol, phase).observe for phase in PHASES}
        self._connects = {name: slab.counters("backend_connects_total", name) for name in backends}
        self._own = {name: slab.counters("backend_logins_total", name) for name in backends}
        self._untrusted = {name: slab.counter("backend_untrusted_total", name) for name in backends}

    def login(self, outcome: str) -> None:
        """A login attempt came to `outcome`: "ok" or the value of a failure kind."""
        self._logins[outcome].add()

    def backend_connect(self, backend: str, outcome: str) -> None:
        """A connection to a backend was greeted, or not."""
        self._connects[backend][outcome].add()

    def backend_login(self, backend: str, outcome: str) -> None:
        """A backend has answered a login, or not."""
        self._own[backend][outcome].add()

    def untrusted(self, backend: str) -> None:
        """A backend was not told, or does not believe, where the client is."""
        self._untrusted[backend].add()


class DirectoryMeters:
    """What the directory of one worker counts (`ldapmap.Meters`)."""

    __slots__ = ("_gauges", "_outcomes", "_remembered", "_seconds", "_sources", "waited")

    def __init__(self, slab: Slab, servers: tuple[str, ...]) -> None:
        self._outcomes = {
            (server, operation, outcome): slab.counter("directory_operations_total", server, operation, outcome).add
            for server in servers
            for operation in OPERATIONS
            for outcome in OUTCOMES
        }
        self._seconds = {
            (server, operation): slab.histogram("directory_operation_seconds", server, operation).observe
            for server in servers
            for operation in OPERATIONS
        }
        self.waited = slab.histogram("directory_wait_seconds").observe
        self._sources = {source: slab.counter("directory_answers_total", source).add for source in SOURCES}
        self._remembered = {each: slab.counter("directory_remembered_total", each).add for each in REMEMBERED}
        self._gauges = {server: _ServerGauges(slab, server) for server in servers}

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
        """A server was asked."""
        self._outcomes[server, operation, outcome]()
        self._seconds[server, operation](seconds)

    def answered(self, source: Source) -> None:
        """A name was looked up."""
        self._sources[source]()

    def remembered(self, outcome: Remembered) -> None:
        """A password was compared with a remembered one."""
        self._remembered[outcome]()

    def show(self, status: DirectoryStatus) -> None:
        """Set the gauges to how the servers are doing."""
        for server in status.servers:
            self._gauges[server.url].show(server)


class _ServerGauges:
    """The gauges of one directory server."""

    __slots__ = ("_busy", "_down", "_open", "_searches", "_waiting_binds", "_waiting_searches")

    def __init__(self, slab: Slab, server: str) -> None:
        self._down = slab.gauge("directory_server_down", server)
        self._open = slab.gauge("directory_connections", server, "open")
        self._busy = slab.gauge("directory_connections", server, "busy")
        self._searches = slab.gauge("directory_searches", server)
        self._waiting_binds = slab.gauge("directory_waiting", server, "bind")
        self._waiting_searches = slab.gauge("directory_waiting", server, "search")

    def show(self, status: ServerStatus) -> None:
        self._down.set(status.down)
        self._open.set(status.bind_open)
        self._busy.set(status.bind_busy)
        self._searches.set(status.searches)
        self._waiting_binds.set(status.bind_waiting)
        self._waiting_searches.set(status.search_waiting)


class MirrorMeters:
    """The mirror's state as metrics, in its process's slab."""

    _GAUGES = ("users", "entries", "unusable_entries", "bytes", "last_contact_timestamp_seconds", "lag_seconds")
    _COUNTERS = ("changes_total", "reloads_total", "reconnects_total", "purges_refused_total")

    def __init__(self, slab: Slab) -> None:
        self._following = slab.gauge("mirror_following")
        self._gauges = [slab.gauge(f"mirror_{name}").set for name in self._GAUGES]
        self._counters = [slab.counter(f"mirror_{name}").add for name in self._COUNTERS]
        self._counted = [0] * len(self._COUNTERS)

    def show(self, status: MirrorStatus) -> None:
        """Set the gauges, and count what has happened since the last time."""
        self._following.set(status.state == "following")
        now = (
            status.users,
            status.entries,
            status.unusable,
            status.file_bytes,
            status.last_contact,
            status.lag_seconds,
        )
        for gauge, value in zip(self._gauges, now, strict=True):
            gauge(value)
        counted = [status.changes, status.reloads, status.reconnects, status.purges_refused]
        for counter, value, before in zip(self._counters, counted, self._counted, strict=True):
            counter(value - before)
        self._counted = counted
