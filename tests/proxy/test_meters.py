"""What sessions count arrives under the names and labels of the metrics page."""

from __future__ import annotations

from typing import Any

import pytest

from director import StoreState
from ldapmap import DirectoryStatus, ServerStatus
from proxy.counters import Counters, Slab
from proxy.families import PHASES, families
from proxy.meters import DirectorMeters, DirectoryMeters, Meters
from proxy.protocols.failures import Kind

OUTCOMES = ("ok", *(kind.value for kind in Kind))


@pytest.fixture
def counters() -> Counters:
    table = families(protocols=["imap", "pop3"], backends=["mb1", "mb2"], outcomes=OUTCOMES[1:], certificates=[])
    return Counters(table, workers=2)


@pytest.fixture
def meters(counters: Counters) -> Meters:
    return Meters(counters.workers[1], "pop3", ("mb1", "mb2"))


def test_connections_and_bytes_are_counted_for_their_protocol(counters: Counters, meters: Meters) -> None:
    meters.connection()
    meters.connection()
    meters.to_client(1000)
    meters.to_backend(10)
    meters.to_backend(5)
    assert counters.number("connections_total", ("pop3",)) == 2
    assert counters.number("connections_total", ("imap",)) == 0
    assert counters.number("relayed_bytes_total", ("pop3", "to_client")) == 1000
    assert counters.number("relayed_bytes_total", ("pop3", "to_backend")) == 15


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_way_a_login_can_end_is_counted(counters: Counters, meters: Meters, outcome: str) -> None:
    meters.login(outcome)
    meters.backend_connect("mb1", outcome)
    meters.backend_login("mb2", outcome)
    assert counters.number("logins_total", ("pop3", outcome)) == 1
    assert counters.number("backend_connects_total", ("mb1", outcome)) == 1
    assert counters.number("backend_connects_total", ("mb2", outcome)) == 0
    assert counters.number("backend_logins_total", ("mb2", outcome)) == 1


def test_every_phase_of_a_login_is_measured(counters: Counters, meters: Meters) -> None:
    assert set(meters.phase) == set(PHASES)
    for phase in PHASES:
        meters.phase[phase](0.25)
        measured = counters.distribution("login_phase_seconds", ("pop3", phase))
        assert (sum(measured.counts), measured.total) == (1, 0.25)


def test_a_backend_that_is_not_told_of_its_clients_is_counted(counters: Counters, meters: Meters) -> None:
    meters.untrusted("mb2")
    assert counters.number("backend_untrusted_total", ("mb2",)) == 1


def test_backends_that_the_configuration_does_not_name_are_counted_as_another(
    counters: Counters, meters: Meters
) -> None:
    meters.backend_connect("mb9", "ok")
    meters.backend_login("mb8", "ok")
    meters.untrusted("mb7")
    assert counters.number("backend_connects_total", ("other", "ok")) == 1
    assert counters.number("backend_logins_total", ("other", "ok")) == 1
    assert counters.number("backend_untrusted_total", ("other",)) == 1


def test_each_worker_counts_in_its_own_place(counters: Counters, meters: Meters) -> None:
    meters.login("ok")
    assert counters.workers[0].number("logins_total", ("pop3", "ok")) == 0
    assert counters.workers[1].number("logins_total", ("pop3", "ok")) == 1


SERVER = "ldap://ldap.example:389"


def directory_slab() -> Slab:
    table = families(protocols=[], backends=[], outcomes=[], certificates=[], servers=[SERVER])
    return Counters(table, workers=1).workers[0]


def test_a_directorys_operations_are_counted_and_timed_by_server() -> None:
    slab = directory_slab()
    meters = DirectoryMeters(slab, (SERVER,))
    meters.operation(SERVER, "bind", "refused", 0.002)
    meters.waited(0.5)
    meters.answered("mirror")
    meters.remembered("unknown")
    assert slab.number("directory_operations_total", (SERVER, "bind", "refused")) == 1
    assert slab.distribution("directory_operation_seconds", (SERVER, "bind")).total == 0.002
    assert slab.distribution("directory_wait_seconds").total == 0.5
    assert slab.number("directory_answers_total", ("mirror",)) == 1
    assert slab.number("directory_remembered_total", ("unknown",)) == 1


def test_the_state_of_a_directory_server_is_shown() -> None:
    slab = directory_slab()
    status = ServerStatus(url=SERVER, down=True, bind_open=8, bind_busy=5, bind_waiting=3, searches=2, search_waiting=1)
    DirectoryMeters(slab, (SERVER,)).show(DirectoryStatus(servers=(status,)))
    assert slab.number("directory_server_down", (SERVER,)) == 1
    assert slab.number("directory_connections", (SERVER, "open")) == 8
    assert slab.number("directory_connections", (SERVER, "busy")) == 5
    assert slab.number("directory_searches", (SERVER,)) == 2
    assert slab.number("directory_waiting", (SERVER, "bind")) == 3
    assert slab.number("directory_waiting", (SERVER, "search")) == 1


# --- the director ---

FIGURES: dict[str, Any] = {
    "sessions": {"mb1": 20, "ldap1": 3, "ldap2": 4},
    "users": {"mb1": 10, "ldap1": 2},
    "standing": {"mb1": "up", "mb2": "out", "ldap1": "up", "ldap2": "up"},
    "admin": {"mb1": "online", "mb2": "standby", "ldap1": "online", "ldap2": "offline"},
    "view": {"mb1": "up", "mb2": "down", "ldap1": "up", "ldap2": "down"},
    "ejections": {"mb2": 2, "ldap2": 1},
    "assigns": {"sticky": 7, "hash": 5},
    "refusals": {"waited": 1},
    "kicks": {"moved": 4, "of a later version": 2},
    "limits": {"user": 3},
    "moving": {"waiting": 9, "holding": 1},
    "moves": {"moved": 6},
    "split": 1,
    "unsure": 2,
    "nodes": 3,
}


@pytest.fixture
def slab(counters: Counters) -> Slab:
    return counters.director


def show(meters: DirectorMeters, *, away: bool = False, **figures: Any) -> None:
    meters.show({**FIGURES, **figures}, StoreState("memory", away, 0.0, 0.0), workers=2, now=99.5)


def test_the_directors_state_is_shown(counters: Counters, slab: Slab) -> None:
    show(DirectorMeters(slab), away=True)
    assert slab.number("director_heartbeat_seconds") == 99.5
    assert slab.number("director_workers") == 2
    assert slab.number("director_store_away") == 1
    assert slab.number("director_nodes") == 3
    assert slab.number("users_on_two_backends") == 1
    assert slab.number("users_unsure") == 2
    assert slab.number("director_moving", ("waiting",)) == 9
    assert slab.number("director_sessions", ("mb1",)) == 20
    assert slab.number("director_backend_standing", ("out", "mb2")) == 1
    assert slab.number("director_backend_standing", ("up", "mb2")) == 0
    assert slab.number("director_backend_admin", ("standby", "mb2")) == 1
    assert slab.number("director_backend_reached", ("mb1",)) == 1
    assert slab.number("director_backend_reached", ("mb2",)) == 0
    assert counters.number("director_sessions", ("mb1",)) == 20


def test_backends_that_only_the_directory_names_are_shown_together(slab: Slab) -> None:
    show(DirectorMeters(slab))
    assert slab.number("director_sessions", ("other",)) == 7
    assert slab.number("director_users", ("other",)) == 2
    assert slab.number("director_backend_standing", ("up", "other")) == 2
    assert slab.number("director_ejections_total", ("other",)) == 1
    assert slab.number("director_kicks_total", ("other",)) == 2


def test_what_is_no_more_is_shown_no_more(slab: Slab) -> None:
    meters = DirectorMeters(slab)
    show(meters)
    show(meters, sessions={}, standing={"mb1": "down"})
    assert slab.number("director_sessions", ("mb1",)) == 0
    assert slab.number("director_backend_standing", ("up", "mb1")) == 0
    assert slab.number("director_backend_standing", ("down", "mb1")) == 1


def test_what_has_happened_is_counted_once_also_by_the_next_director(slab: Slab) -> None:
    meters = DirectorMeters(slab)
    show(meters)
    show(meters, assigns={"sticky": 9, "hash": 5})
    assert slab.number("director_assigns_total", ("sticky",)) == 9
    assert slab.number("director_assigns_total", ("hash",)) == 5
    assert slab.number("director_refusals_total", ("waited",)) == 1
    assert slab.number("director_moves_total", ("moved",)) == 6
    assert slab.number("director_limits_total", ("user",)) == 3
    show(DirectorMeters(slab), assigns={"sticky": 1})
    assert slab.number("director_assigns_total", ("sticky",)) == 10


def test_what_the_director_does_is_counted(slab: Slab) -> None:
    meters = DirectorMeters(slab)
    meters.store("swap", True, 0.002)
    meters.store("swap", False, 1.0)
    meters.store("read", True, 0.0)
    meters.probed("mb1", True)
    meters.probed("mb1", False)
    meters.probed("ldap1", False)
    meters.gate("behind")
    meters.assigned(0.25)
    meters.lagged(0.001)
    assert slab.number("director_store_operations_total", ("ok", "swap")) == 1
    assert slab.number("director_store_operations_total", ("away", "swap")) == 1
    assert slab.number("director_store_operations_total", ("ok", "read")) == 1
    assert sum(slab.distribution("director_store_seconds", ("swap",)).counts) == 2
    assert sum(slab.distribution("director_store_seconds", ("read",)).counts) == 0
    assert slab.number("director_probes_total", ("good", "mb1")) == 1
    assert slab.number("director_probes_total", ("failed", "other")) == 1
    assert slab.number("director_gate_answers_total", ("behind",)) == 1
    assert slab.distribution("director_assign_seconds").total == 0.25
    assert slab.distribution("director_loop_lag_seconds").total == 0.001
