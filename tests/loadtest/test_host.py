"""What the servers of one simulated backend share."""

from __future__ import annotations

from loadtest.host import Host, Login, acting_for
from proxy.protocols.credentials import Attempt
from proxy.protocols.memory import MemoryWire
from proxy.protocols.secret import Secret


def test_logins_are_remembered_and_refusals_are_not() -> None:
    host = Host("mb1a", ["alice"])
    assert host.admit("imap", "alice", "192.0.2.1") is not None
    assert host.admit("pop3", "bob") is None
    assert list(host.logins) == [Login("imap", "alice", "192.0.2.1")]


def test_a_master_user_acts_for_the_one_it_names() -> None:
    secret = Secret(b"secret")
    assert acting_for(Attempt("PLAIN", b"vestibule", secret, b"alice")) == "alice"
    assert acting_for(Attempt("PLAIN", b"alice", secret)) == "alice"


def test_tls_is_offered_once() -> None:
    assert Host("mb1a", starttls=True).offers_tls(MemoryWire([]))
    assert not Host("mb1a", starttls=True).offers_tls(MemoryWire([], secure=True))
    assert not Host("mb1a").offers_tls(MemoryWire([]))
