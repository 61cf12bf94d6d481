"""The table of metrics follows the configuration."""

from __future__ import annotations

from proxy.counters import SECONDS, Counters
from proxy.families import families


def test_the_daemons_table_follows_the_configuration() -> None:
    table = families(
        protocols=["imap", "pop3"],
        backends=["mb1", "mb2"],
        outcomes=["limit", "internal"],
        certificates=["a.pem", "a.pem"],
    )
    found = {family.name: family for family in table}
    assert set(found["logins_total"].values) == {
        (protocol, outcome) for protocol in ("imap", "pop3") for outcome in ("ok", "limit", "internal")
    }
    assert ("mb2", "ok") in found["backend_logins_total"].values
    assert ("other", "ok") in found["backend_logins_total"].values
    assert found["certificate_expiry_timestamp_seconds"].values == (("a.pem",),)
    assert found["login_phase_seconds"].bounds == SECONDS == tuple(sorted(SECONDS))
    assert all(len(labels) == len(family.labels) for family in table for labels in family.values)
    slab = Counters(table, workers=1).workers[0]
    slab.histogram("login_phase_seconds", "imap", "total").observe(0.4)
    slab.gauge("sessions", "imap", "starttls").set(1)


def test_directory_servers_have_their_series() -> None:
    table = families(protocols=[], backends=[], outcomes=[], certificates=[], servers=["ldap://a:389", "ldap://b:389"])
    slab = Counters(table, workers=1).workers[0]
    slab.counter("directory_operations_total", "ldap://b:389", "bind", "refused").add()
    slab.histogram("directory_operation_seconds", "ldap://a:389", "search").observe(0.001)
    slab.gauge("directory_connections", "ldap://a:389", "busy").set(3)
    slab.gauge("directory_server_down", "ldap://a:389").set(1)


def test_the_mirrors_process_has_a_slab_of_its_own() -> None:
    counters = Counters(families(protocols=[], backends=[], outcomes=[], certificates=[]), workers=2)
    counters.mirror.gauge("mirror_users").set(5)
    assert counters.number("mirror_users") == 5
    assert counters.mirror not in counters.workers
    assert counters.mirror is not counters.supervisor


def test_the_director_has_a_slab_of_its_own() -> None:
    counters = Counters(families(protocols=[], backends=["mb1"], outcomes=[], certificates=[]), workers=2)
    counters.director.gauge("director_sessions", "mb1").set(5)
    counters.director.gauge("director_sessions", "other").set(6)
    assert counters.number("director_sessions", ("mb1",)) == 5
    assert counters.director not in (*counters.workers, counters.mirror, counters.supervisor)
