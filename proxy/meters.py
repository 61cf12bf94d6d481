"""The numbers of a worker as sessions and directory count them: looked up once, then plain additions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

from director import ADMIN_STATES, STANDINGS, STORE_OPERATIONS, GateWord, StoreOperation, StoreState
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
from proxy.counters import Gauge, Slab
from proxy.families import OTHER, PHASES, PROBE_OUTCOMES
from proxy.relay import Meter


class Meters:
    """What the sessions of one protocol count; backends that the configuration does not name count as another.

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
        known = (*backends, OTHER)
        self._connects = {name: slab.counters("backend_connects_total", name) for name in known}
        self._own = {name: slab.counters("backend_logins_total", name) for name in known}
        self._untrusted = {name: slab.counter("backend_untrusted_total", name) for name in known}

    def login(self, outcome: str) -> None:
        """A login attempt came to `outcome`: "ok" or the value of a failure kind."""
        self._logins[outcome].add()

    def backend_connect(self, backend: str, outcome: str) -> None:
        """A connection to a backend was greeted, or not."""
        self._connects.get(backend, self._connects[OTHER])[outcome].add()

    def backend_login(self, backend: str, outcome: str) -> None:
        """A backend has answered a login, or not."""
        self._own.get(backend, self._own[OTHER])[outcome].add()

    def untrusted(self, backend: str) -> None:
        """A backend was not told, or does not believe, where the client is."""
        self._untrusted.get(backend, self._untrusted[OTHER]).add()


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


class DirectorMeters:
    """What the director counts (`director.Meters`), and its state, in its process's slab."""

    _GAUGES = (
        ("sessions", "director_sessions"),
        ("users", "director_users"),
        ("moving", "director_moving"),
    )
    _STATES = (
        ("standing", "director_backend_standing", STANDINGS),
        ("admin", "director_backend_admin", ADMIN_STATES),
    )
    _COUNTERS = (
        ("ejections", "director_ejections_total"),
        ("assigns", "director_assigns_total"),
        ("refusals", "director_refusals_total"),
        ("moves", "director_moves_total"),
        ("kicks", "director_kicks_total"),
        ("limits", "director_limits_total"),
    )
    _NUMBERS = (("split", "users_on_two_backends"), ("unsure", "users_unsure"), ("nodes", "director_nodes"))

    def __init__(self, slab: Slab) -> None:
        self._asked = {answered: slab.counters("director_store_operations_total", word) for answered, word in _ANSWERED}
        self._seconds = {each: slab.histogram("director_store_seconds", each).observe for each in STORE_OPERATIONS}
        self._probes = {good: slab.counters("director_probes_total", word) for good, word in _GOOD}
        self._words = slab.counters("director_gate_answers_total")
        self.assigned = slab.histogram("director_assign_seconds").observe
        self.lagged = slab.histogram("director_loop_lag_seconds").observe
        self._heartbeat = slab.gauge("director_heartbeat_seconds")
        self._workers = slab.gauge("director_workers")
        self._away = slab.gauge("director_store_away")
        self._reached = slab.gauges("director_backend_reached")
        self._gauges = [(key, slab.gauges(name)) for key, name in self._GAUGES]
        self._states = [(key, word, slab.gauges(name, word)) for key, name, words in self._STATES for word in words]
        self._numbers = [(key, slab.gauge(name)) for key, name in self._NUMBERS]
        self._counters = [(key, slab.counters(name)) for key, name in self._COUNTERS]
        self._counted: Counter[tuple[str, str]] = Counter()

    def store(self, operation: StoreOperation, answered: bool, seconds: float) -> None:
        """The store was asked; one in memory, which takes no time, is not measured."""
        self._asked[answered][operation].add()
        if seconds:
            self._seconds[operation](seconds)

    def probed(self, backend: str, good: bool) -> None:
        """A backend was probed."""
        probes = self._probes[good]
        probes.get(backend, probes[OTHER]).add()

    def gate(self, word: GateWord) -> None:
        """The sync gate was asked."""
        self._words[word].add()

    def show(self, figures: Mapping[str, Any], store: StoreState, workers: int, now: float) -> None:
        """Set the gauges, and count what has happened since the last time. `now` is on the machine's monotonic clock.

        `figures` are those of `director.figures`.
        """
        self._heartbeat.set(now)
        self._workers.set(workers)
        self._away.set(store.away)
        for key, number in self._numbers:
            number.set(figures[key])
        for key, gauges in self._gauges:
            _set(gauges, figures[key])
        for key, word, gauges in self._states:
            _set(gauges, {backend: 1 for backend, state in figures[key].items() if state == word})
        _set(self._reached, {backend: 1 for backend, view in figures["view"].items() if view == "up"})
        for key, counters in self._counters:
            for label, count in _folded(figures[key], counters).items():
                counters[label].add(max(0, count - self._counted[key, label]))  # old jobs are forgotten
                self._counted[key, label] = count


_ANSWERED = ((True, "ok"), (False, "away"))
_GOOD = tuple(zip((True, False), PROBE_OUTCOMES, strict=True))


def _set(gauges: Mapping[str, Gauge], figures: Mapping[str, int]) -> None:
    """All of them; those that have no figure are 0."""
    folded = _folded(figures, gauges)
    for label, gauge in gauges.items():
        gauge.set(folded[label])


def _folded(figures: Mapping[str, int], known: Container[str]) -> Counter[str]:
    """The figures by the labels that there are; all that are not known as one other."""
    folded: Counter[str] = Counter()
    for label, figure in figures.items():
        folded[label if label in known else OTHER] += figure
    return folded
