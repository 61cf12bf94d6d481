"""What sessions count arrives under the names and labels of the metrics page."""

from __future__ import annotations

import pytest

from proxy.counters import PHASES, Counters, families
from proxy.meters import Meters
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
