"""A mail server dies; its users find their mail on the other server of the shard."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .dovecot import Dovecot
from .fake_backend import FakeBackend
from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to, logged_in
from .site import Site, User, backend, new_dovecot, shard
from .vestibule import Vestibule
from .wait import wait_until

QUICK = {"timeouts": {"retry_pause": 0.05}}


@pytest.fixture
def first(site: Site) -> Iterator[Dovecot]:
    """The server that is preferred."""
    with new_dovecot("first", site.folder, site.authority) as dovecot:
        yield dovecot


@pytest.fixture
def partner(site: Site) -> Iterator[Dovecot]:
    """The other server of the shard."""
    with new_dovecot("partner", site.folder, site.authority) as dovecot:
        yield dovecot


@pytest.fixture
def daemon(site: Site, first: Dovecot, partner: Dovecot) -> Iterator[Vestibule]:
    """A daemon in front of the two."""
    with site.vestibule({"shard": [shard("s1", first, partner)], **QUICK}, workers=1) as running:
        yield running


def test_when_the_first_server_dies_users_go_to_its_partner(
    site: Site, daemon: Vestibule, first: Dovecot, partner: Dovecot
) -> None:
    user = site.user("s1")
    with logged_in(daemon, site, user) as session:
        first.wait_for_log(rf"Login: user=<{user.name}>")
        first.kill()
        assert session.rest() == b""
    for protocol in PROTOCOLS:
        assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
        partner.wait_for_log(rf"{protocol}-login: Info: Login: user=<{user.name}>")


def test_a_user_who_was_never_there_goes_to_the_partner_at_once(
    site: Site, daemon: Vestibule, first: Dovecot, partner: Dovecot, user: User
) -> None:
    first.kill()
    assert answer_to(daemon, site, user).startswith(b"a OK")
    partner.wait_for_log(rf"Login: user=<{user.name}>")
    assert daemon.session(user=user.name)["backend"] == "partner"


def test_when_both_are_dead_the_answer_is_to_come_back_later_and_later_it_works(
    site: Site, daemon: Vestibule, first: Dovecot, partner: Dovecot, user: User
) -> None:
    first.kill()
    partner.kill()
    for protocol in PROTOCOLS:
        assert answer_to(daemon, site, user, protocol).startswith(UNAVAILABLE[protocol])
    first.start()
    wait_until(lambda: answer_to(daemon, site, user).startswith(b"a OK"), "logins to work again")
    first.wait_for_log(rf"Login: user=<{user.name}>")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_accepts_and_is_silent_is_passed_over(site: Site, s1: Dovecot, user: User, protocol: str) -> None:
    with FakeBackend(b"") as silent:
        one = shard("s1", s1)
        ports = dict.fromkeys(PROTOCOLS, silent.port)
        one["backend"] = [
            {"name": "silent", "host": silent.address, "ports": ports, "priority": 1},
            {**one["backend"][0], "priority": 2},
        ]
        timeouts = {"retry_pause": 0.05, "backend_greeting": 2.0, "backend_connect": 2.0}
        with site.vestibule({"shard": [one], "timeouts": timeouts}, workers=1) as daemon:
            assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    s1.wait_for_log(rf"Login: user=<{user.name}>")


def test_a_user_without_a_known_shard_is_told_to_come_back_later(site: Site, vestibule: Vestibule) -> None:
    site.slapd.add_user("lost", "secret", mailHost="nowhere.example")
    for protocol in PROTOCOLS:
        answer = answer_to(vestibule, site, User("lost", "secret"), protocol)
        assert answer.startswith(UNAVAILABLE[protocol])
    assert vestibule.session(user="lost")["failure"] == "no_backend"


def test_another_site_takes_over_only_after_its_time_and_gives_back_what_it_took(
    site: Site, first: Dovecot, partner: Dovecot, user: User
) -> None:
    one = {"name": "s1", "backend": [backend(first, 1, site="north"), backend(partner, 2, site="south")]}
    director = {"site_failover_after": 5.0, "health": {"every": 0.3}, "failback": {"failback_after": 1.0}}
    with site.vestibule({"shard": [one], "director": director, **QUICK}, workers=1) as daemon:
        assert answer_to(daemon, site, user).startswith(b"a OK")
        first.wait_for_log(rf"Login: user=<{user.name}>")
        first.kill()
        killed, answers = time.monotonic(), list[bytes]()

        def taken_over() -> bool:
            answers.append(answer_to(daemon, site, user))
            return answers[-1].startswith(b"a OK")

        wait_until(taken_over, "the other site to take over")
        assert time.monotonic() - killed >= 5.0
        assert all(answer.startswith(UNAVAILABLE["imap"]) for answer in answers[:-1])
        partner.wait_for_log(rf"Login: user=<{user.name}>")
        first.start()
        before = len(first.logins(user.name))
        wait_until(lambda: answer_to(daemon, site, user) and len(first.logins(user.name)) > before, "the way home")
