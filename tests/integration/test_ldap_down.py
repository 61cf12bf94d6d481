"""The directory goes away and comes back: nobody is told that the password is wrong, and sessions go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .logins import PROTOCOLS, UNAVAILABLE, answer_to, logged_in
from .site import ALICE, BOB, Site, populate
from .slapd import Slapd
from .vestibule import Vestibule
from .wait import wait_until


@pytest.fixture
def own_slapd(slapd: Slapd) -> Iterator[Slapd]:
    """A directory that a test may hurt."""
    with Slapd() as server:
        populate(server, spare=0)
        yield server


@pytest.fixture
def daemon(site: Site, own_slapd: Slapd) -> Iterator[Vestibule]:
    """A daemon that asks this directory."""
    directory = {"servers": [own_slapd.ldap], "server_retry": 0.2, "operation_timeout": 1.0, "connect_timeout": 1.0}
    with site.vestibule({"directory": directory}, workers=1) as running:
        yield running


def test_while_the_directory_is_down_users_are_asked_to_come_back(
    site: Site, daemon: Vestibule, own_slapd: Slapd
) -> None:
    with logged_in(daemon, site, ALICE) as session:
        own_slapd.kill()
        for protocol in PROTOCOLS:
            assert answer_to(daemon, site, BOB, protocol).startswith(UNAVAILABLE[protocol])
        assert session.alive()
        wait_until(lambda: daemon.metrics()['vestibule_directory_up{worker="0"}'] == 0)
        own_slapd.start()
        wait_until(lambda: answer_to(daemon, site, BOB).startswith(b"a OK"), "logins to work again")
        assert session.alive()


def test_a_directory_that_hangs_is_as_good_as_down(site: Site, daemon: Vestibule, own_slapd: Slapd) -> None:
    logged_in(daemon, site, ALICE).close()
    own_slapd.pause()
    try:
        for protocol in PROTOCOLS:
            assert answer_to(daemon, site, BOB, protocol).startswith(UNAVAILABLE[protocol])
    finally:
        own_slapd.resume()
    wait_until(lambda: answer_to(daemon, site, BOB).startswith(b"a OK"), "logins to work again")


def test_the_second_server_takes_over(site: Site, slapd: Slapd, own_slapd: Slapd) -> None:
    directory = {"servers": [own_slapd.ldap, slapd.ldap], "operation_timeout": 1.0, "connect_timeout": 1.0}
    with site.vestibule({"directory": directory}, workers=1) as daemon:
        logged_in(daemon, site, ALICE).close()
        own_slapd.kill()
        assert answer_to(daemon, site, BOB).startswith(b"a OK")


def test_ldaps_and_starttls_are_verified(site: Site, slapd: Slapd) -> None:
    for servers, starttls in (([slapd.ldaps], False), ([slapd.ldap], True)):
        directory = {"servers": servers, "starttls": starttls, "ca_file": slapd.ca_file}
        with site.vestibule({"directory": directory}, workers=1) as daemon:
            assert answer_to(daemon, site, ALICE).startswith(b"a OK")
    directory = {"servers": [slapd.ldaps], "ca_file": site.ca_file, "connect_timeout": 1.0}
    with site.vestibule({"directory": directory}, workers=1) as daemon:
        assert answer_to(daemon, site, ALICE).startswith(UNAVAILABLE["imap"])
