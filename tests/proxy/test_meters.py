"""What sessions count arrives under the names and labels of the metrics page."""

from __future__ import annotations

import pytest

from ldapmap import DirectoryStatus, ServerStatus
from proxy.counters import Counters, Slab
from proxy.families import PHASES, families
from proxy.meters import DirectoryMeters, Meters
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
