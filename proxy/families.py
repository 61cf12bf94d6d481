"""The table of metrics: every series the daemon has, laid out once for a configuration."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from director import (
    ADMIN_STATES,
    GATE_WORDS,
    GRANTS,
    KICKS,
    LIMITS,
    MOVE_OUTCOMES,
    MOVE_STEPS,
    REFUSALS,
    STANDINGS,
    STORE_OPERATIONS,
)
from ldapmap import OPERATIONS, OUTCOMES, REMEMBERED, SOURCES
from proxy.counters import SECONDS, Family, Kind, Labels

PHASES = ("proxy_header", "tls", "preauth", "directory", "backend_connect", "backend_login", "total")
"""The steps of a login whose duration is measured."""

TLS_MODES = ("implicit", "starttls", "off")
DIRECTIONS = ("to_client", "to_backend")

PROBE_OUTCOMES = ("good", "failed")

OTHER = "other"
"""A label for what the table does not know beforehand."""

_SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Upper bounds for what a directory server usually does within a millisecond."""


def families(
    *,
    protocols: Sequence[str],
    backends: Sequence[str],
    outcomes: Sequence[str],
    certificates: Sequence[str],
    servers: Sequence[str] = (),
) -> tuple[Family, ...]:
    """The daemon's table of metrics for a configuration.

    `outcomes` are the values of the failure kinds; `ok` is added. `certificates` are the files' names, `servers` the
    directory servers' addresses.
    """
    results = ("ok", *outcomes)
    return (
        *_of_sessions(protocols, results),
        *_of_backends((*backends, OTHER), results),
        *_of_the_directory(servers),
        *_of_the_mirror(),
        *_of_the_director(backends),
        *_of_processes(certificates),
    )


def _of_sessions(protocols: Sequence[str], results: Sequence[str]) -> tuple[Family, ...]:
    return (
        Family(
            "sessions",
            "Connections that are open, by the TLS mode of their listener.",
            Kind.GAUGE,
            ("protocol", "tls"),
            _all(protocols, TLS_MODES),
        ),
        Family("connections_total", "Connections accepted.", Kind.COUNTER, ("protocol",), _all(protocols)),
        Family(
            "logins_total",
            "Login attempts, by what came of them.",
            Kind.COUNTER,
            ("protocol", "outcome"),
            _all(protocols, results),
        ),
        Family(
            "login_phase_seconds",
            "Duration of the steps of a login.",
            Kind.HISTOGRAM,
            ("protocol", "phase"),
            _all(protocols, PHASES),
            SECONDS,
        ),
        Family(
            "relayed_bytes_total",
            "Bytes relayed after login.",
            Kind.COUNTER,
            ("protocol", "direction"),
            _all(protocols, DIRECTIONS),
        ),
    )


def _of_backends(backends: Sequence[str], results: Sequence[str]) -> tuple[Family, ...]:
    return (
        Family(
            "backend_connects_total",
            "Connections to backends.",
            Kind.COUNTER,
            ("backend", "outcome"),
            _all(backends, results),
        ),
        Family(
            "backend_logins_total", "Logins at backends.", Kind.COUNTER, ("backend", "outcome"), _all(backends, results)
        ),
        Family(
            "backend_untrusted_total",
            "Logins whose client address the backend did not believe: we are not in its trusted networks.",
            Kind.COUNTER,
            ("backend",),
            _all(backends),
        ),
    )


def _of_the_directory(servers: Sequence[str]) -> tuple[Family, ...]:
    return (
        Family("directory_up", "Whether the worker has a directory that answers.", Kind.STATE),
        Family(
            "directory_operations_total",
            "What directory servers were asked, by what came of it; refused: the server has judged.",
            Kind.COUNTER,
            ("server", "operation", "outcome"),
            _all(servers, OPERATIONS, OUTCOMES),
        ),
        Family(
            "directory_operation_seconds",
            "Time until a directory server had answered.",
            Kind.HISTOGRAM,
            ("server", "operation"),
            _all(servers, OPERATIONS),
            _SHORT,
        ),
        Family(
            "directory_wait_seconds",
            "Time that logins waited for a free connection to a directory server.",
            Kind.HISTOGRAM,
            bounds=_SHORT,
        ),
        Family(
            "directory_server_down",
            "Whether the worker passes this directory server over, because it did not answer.",
            Kind.STATE,
            ("server",),
            _all(servers),
        ),
        Family(
            "directory_connections",
            "Connections for checking passwords.",
            Kind.GAUGE,
            ("server", "state"),
            _all(servers, ("open", "busy")),
        ),
        Family(
            "directory_waiting",
            "Logins that wait for their turn at a directory server.",
            Kind.GAUGE,
            ("server", "operation"),
            _all(servers, ("search", "bind")),
        ),
        Family("directory_searches", "Searches in progress.", Kind.GAUGE, ("server",), _all(servers)),
        Family(
            "directory_answers_total",
            "Where users were found; stale: in mirror or cache, while no server answered.",
            Kind.COUNTER,
            ("source",),
            _all(SOURCES),
        ),
        Family(
            "directory_remembered_total",
            "Passwords compared with remembered ones while no directory server answered.",
            Kind.COUNTER,
            ("outcome",),
            _all(REMEMBERED),
        ),
    )


def _of_the_mirror() -> tuple[Family, ...]:
    return (
        Family("mirror_following", "Whether the mirror is in step with a directory server.", Kind.GAUGE),
        Family("mirror_users", "Users in the mirror.", Kind.GAUGE),
        Family("mirror_entries", "Entries that the mirror follows.", Kind.GAUGE),
        Family("mirror_unusable_entries", "Entries without a route, which are not users.", Kind.GAUGE),
        Family("mirror_bytes", "Size of the mirror's file.", Kind.GAUGE),
        Family(
            "mirror_last_contact_timestamp_seconds",
            "When the mirror last heard from a directory server, in seconds since 1970.",
            Kind.GAUGE,
        ),
        Family(
            "mirror_lag_seconds",
            "For how long the mirror has not been known to be in step; -1: there is none yet.",
            Kind.GAUGE,
        ),
        Family("mirror_changes_total", "Changes applied to the mirror.", Kind.COUNTER),
        Family("mirror_reloads_total", "Times the mirror was loaded anew.", Kind.COUNTER),
        Family("mirror_reconnects_total", "Times the mirror had to find its server again.", Kind.COUNTER),
        Family(
            "mirror_purges_refused_total",
            "Times so many users would have vanished at once that an operator has to look.",
            Kind.COUNTER,
        ),
    )


def _of_the_director(backends: Sequence[str]) -> tuple[Family, ...]:
    return (
        Family(
            "director_heartbeat_seconds",
            "When the director last went round its loop, on the machine's monotonic clock.",
            Kind.GAUGE,
        ),
        *_of_the_directors_backends((*backends, OTHER)),
        *_of_the_directors_users(),
        *_of_the_store(),
        Family(
            "director_loop_lag_seconds",
            "By how much the director came late to what it does ten times a second.",
            Kind.HISTOGRAM,
            bounds=_SHORT,
        ),
    )


def _of_the_directors_backends(backends: Sequence[str]) -> tuple[Family, ...]:
    """Those that only directory entries name are all counted as another."""
    return (
        Family("director_sessions", "Sessions of this node.", Kind.GAUGE, ("backend",), _all(backends)),
        Family("director_users", "Users with sessions on this node.", Kind.GAUGE, ("backend",), _all(backends)),
        Family(
            "director_backend_standing",
            "What the nodes agree on: up, alone (only this node cannot reach it), down (but no more may be taken out), "
            "out (it gets nobody).",
            Kind.GAUGE,
            ("standing", "backend"),
            _all(STANDINGS, backends),
        ),
        Family(
            "director_backend_admin",
            "What the operator wants of it.",
            Kind.GAUGE,
            ("state", "backend"),
            _all(ADMIN_STATES, backends),
        ),
        Family("director_backend_reached", "Whether this node reaches it.", Kind.GAUGE, ("backend",), _all(backends)),
        Family(
            "director_probes_total",
            "Probes, by what came of them.",
            Kind.COUNTER,
            ("outcome", "backend"),
            _all(PROBE_OUTCOMES, backends),
        ),
        Family(
            "director_ejections_total",
            "Times that a backend was taken out because it was down.",
            Kind.COUNTER,
            ("backend",),
            _all(backends),
        ),
        Family(
            "director_gate_answers_total",
            "Answers of the sync gate; silent: it could not be asked.",
            Kind.COUNTER,
            ("word",),
            _all(GATE_WORDS),
        ),
    )


def _of_the_directors_users() -> tuple[Family, ...]:
    return (
        Family(
            "users_on_two_backends", "Users with sessions on two backends, as far as this node can know.", Kind.GAUGE
        ),
        Family("users_unsure", "Users who were assigned while the store was away.", Kind.GAUGE),
        Family(
            "director_assigns_total",
            "Sessions that were given a backend, by why that one.",
            Kind.COUNTER,
            ("why",),
            _all(GRANTS),
        ),
        Family("director_refusals_total", "Sessions that were given none.", Kind.COUNTER, ("reason",), _all(REFUSALS)),
        Family("director_assign_seconds", "Time until a session had its answer.", Kind.HISTOGRAM, bounds=_SHORT),
        Family("director_moving", "Users who are to be moved, by step.", Kind.GAUGE, ("step",), _all(MOVE_STEPS)),
        Family(
            "director_moves_total",
            "Users whose move is over, by what came of it.",
            Kind.COUNTER,
            ("outcome",),
            _all(MOVE_OUTCOMES),
        ),
        Family(
            "director_kicks_total",
            "Sessions that were told to end.",
            Kind.COUNTER,
            ("reason",),
            _all((*KICKS, OTHER)),
        ),
        Family(
            "director_limits_total",
            "How often a limit stood against a session, a connection or a login.",
            Kind.COUNTER,
            ("limit",),
            _all(LIMITS),
        ),
    )


def _of_the_store() -> tuple[Family, ...]:
    return (
        Family("director_store_away", "Whether the store of assignments does not answer.", Kind.GAUGE),
        Family(
            "director_store_operations_total",
            "What the store was asked.",
            Kind.COUNTER,
            ("outcome", "operation"),
            _all(("ok", "away"), STORE_OPERATIONS),
        ),
        Family(
            "director_store_seconds",
            "Time until the store had answered, or was given up.",
            Kind.HISTOGRAM,
            ("operation",),
            _all(STORE_OPERATIONS),
            _SHORT,
        ),
        Family("director_nodes", "Nodes that live, this one included.", Kind.GAUGE),
        Family("director_workers", "Workers that are connected to the director.", Kind.GAUGE),
    )


def _of_processes(certificates: Sequence[str]) -> tuple[Family, ...]:
    return (
        Family("log_lines_dropped_total", "Session lines lost because the log could not be written.", Kind.COUNTER),
        Family(
            "worker_heartbeat_seconds",
            "When the worker last went round its loop, on the machine's monotonic clock.",
            Kind.STATE,
        ),
        Family("worker_accepting", "Whether the worker takes new connections.", Kind.STATE),
        Family("worker_restarts_total", "Workers that ended unasked and were replaced.", Kind.COUNTER),
        Family("admin_restarts_total", "Times the admin process ended unasked and was replaced.", Kind.COUNTER),
        Family("director_restarts_total", "Times the director ended unasked and was replaced.", Kind.COUNTER),
        Family("mirror_restarts_total", "Times the mirror's process ended unasked and was replaced.", Kind.COUNTER),
        Family("draining", "Whether the daemon is being stopped and takes nobody in.", Kind.FACT),
        Family(
            "certificate_expiry_timestamp_seconds",
            "When the certificate stops being valid, in seconds since 1970.",
            Kind.FACT,
            ("file",),
            _all(certificates),
        ),
    )


def _all(*values: Sequence[str]) -> tuple[Labels, ...]:
    return tuple(itertools.product(*(dict.fromkeys(group) for group in values)))
