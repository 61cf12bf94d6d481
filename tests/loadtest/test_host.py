"""What the servers of one simulated backend share."""

from __future__ import annotations

from loadtest.host import Host, Login, acting_for
from loadtest.mailbox import Mailboxes, welcome
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


def test_who_waits_for_mail_is_called_when_it_comes() -> None:
    host, called = Host("mb1a"), list[str]()
    mailbox = host.admit("imap", "alice")
    assert mailbox is not None

    def listener() -> None:
        called.append("mail")

    host.listen(listener, "alice", mailbox)
    assert list(host.idling.values()) == [("alice", mailbox)]
    mailbox.push("alice", 0.0)
    host.stop_listening(listener)
    mailbox.push("alice", 0.0)
    assert called == ["mail"]
    assert not host.idling


def test_hosts_that_replicate_each_other_show_the_same_mail() -> None:
    shared = Mailboxes(welcome("mb1"))
    hosts = [Host(name, mailboxes=shared) for name in ("mb1a", "mb1b")]
    assert hosts[0].admit("imap", "alice") is hosts[1].admit("pop3", "alice")
