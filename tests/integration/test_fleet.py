"""The fleet's clients at a mail server itself: they stay, come back, and know what they were told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .dovecot import Dovecot
from .fleet import Fleet, Place
from .site import Site, User, new_dovecot
from .wait import wait_until


@pytest.fixture
def server(site: Site) -> Iterator[Dovecot]:
    """A server to be harmed."""
    with new_dovecot("harmed", site.folder, site.authority) as dovecot:
        yield dovecot


@pytest.fixture
def fleet(site: Site) -> Iterator[Fleet]:
    with Fleet(site.trusting()) as running:
        yield running


def imaps(server: Dovecot) -> Place:
    return Place(server.address, server.ports["imaps"])


def test_who_waits_comes_back_when_the_server_does(fleet: Fleet, server: Dovecot, site: Site) -> None:
    clients = [fleet.idle(site.user(), imaps(server)) for _ in range(5)]
    fleet.wait_until_in()
    server.kill()
    wait_until(lambda: fleet.online() == 0, "the sessions to end")
    wait_until(lambda: fleet.report().failures["connect: refused"] >= 5, "refusals")
    server.start()
    fleet.wait_until_in()
    report = fleet.report()
    assert report.logins == 10
    assert report.ends == {"closed": 5}
    assert report.longest is not None
    assert "connect: refused" in report.longest.refusals
    assert report.by_user.keys() == {client.user.name for client in clients}


def test_who_is_sent_away_says_with_which_words(fleet: Fleet, server: Dovecot, site: Site) -> None:
    client = fleet.idle(site.user(), imaps(server))
    fleet.wait_until_in()
    server.doveadm("kick", client.user.name)
    wait_until(lambda: client.logins == 2, "the client to come back")
    assert client.said == "BYE Server shutting down."
    assert [absence.said for absence in client.absences] == ["first login", "BYE Server shutting down."]


def test_what_was_acknowledged_is_there_or_is_missed(fleet: Fleet, server: Dovecot, site: Site) -> None:
    user = site.user()
    writers = [fleet.write(user, imaps(server), every=0.0) for _ in range(2)]
    wait_until(lambda: fleet.report().acknowledged > 50, "some messages")
    server.stop()  # killed in the midst of a write, it would leave a lock behind that it believes in for minutes
    server.start()
    fleet.wait_until_in()
    before = fleet.report().acknowledged
    wait_until(lambda: fleet.report().acknowledged > before + 50, "more messages")
    fleet.end(writers)
    assert fleet.missing(imaps(server)) == {}
    assert fleet.report().unknown <= 2
    assert all(writer.receipts.keys() == writer.acknowledged for writer in writers)
    assert all(receipt.sent <= receipt.acknowledged for receipt in writers[0].receipts.values())
    writers[0].acknowledged.add("never.stored@fleet")
    assert fleet.missing(imaps(server)) == {user.name: {"never.stored@fleet"}}


def test_another_place_takes_over(fleet: Fleet, server: Dovecot, s1: Dovecot, site: Site) -> None:
    client = fleet.idle(site.user(), imaps(server), imaps(s1))
    fleet.wait_until_in()
    server.kill()
    wait_until(lambda: client.logins == 2, "a login at the other place")
    assert client.where == imaps(s1)


def test_who_is_refused_is_counted(fleet: Fleet, s1: Dovecot, site: Site) -> None:
    client = fleet.idle(User(site.user().name, "wrong"), imaps(s1))
    kind = "login: NO [AUTHENTICATIONFAILED] Authentication failed."
    wait_until(lambda: fleet.report().failures[kind] == 1, "a refusal")
    assert not client.online
    assert fleet.report().longest is None


def test_a_session_that_nobody_answers_ends_after_the_patience(server: Dovecot, site: Site) -> None:
    with Fleet(site.trusting(), patience=0.3, check_every=0.1) as fleet:
        client = fleet.idle(site.user(), imaps(server))
        fleet.wait_until_in()
        server.hang()
        wait_until(lambda: client.said == "silence", "the end of the patience")
        server.go_on()
        wait_until(lambda: client.online, "the client to come back")
