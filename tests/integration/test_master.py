"""Masters: people who log in for others at the proxy, and the proxy's own master user at the mail servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .addresses import unused_address
from .dovecot import Dovecot
from .logins import ACCEPTED, PROTOCOLS, answer_to, enter
from .site import ALICE, BOB, MAY, Site, User
from .vestibule import Vestibule

AUDITORS = "127.55.0.0/16"
"""The network from which the auditor may log in for others."""

AUDITOR_ADDRESS = "127.55.1.2"


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Vestibule]:
    """A daemon with a master among its users, that is a master user itself at the mail servers."""
    auth = {"masters": [MAY.name], "masters_from": [AUDITORS], "master_separator": "*"}
    with site.vestibule({"auth": auth, "backend_login": site.master()}) as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_master_acts_for_another_user_by_sasl(site: Site, daemon: Vestibule, s2: Dovecot, protocol: str) -> None:
    user = site.user("s2")
    with enter(daemon, site, protocol, AUDITOR_ADDRESS) as session:
        assert session.plain(MAY.name, MAY.password, authzid=user.name).startswith(ACCEPTED[protocol])
        assert session.alive()
        s2.wait_for_log(rf"Login: user=<{user.name}>")


def test_a_master_acts_for_another_user_by_separator(site: Site, daemon: Vestibule, s2: Dovecot) -> None:
    user = site.user("s2")
    with enter(daemon, site, "imap", AUDITOR_ADDRESS) as session:
        session.send(f'a LOGIN "{user.name}*{MAY.name}" "{MAY.password}"\r\n'.encode())
        assert session.answer().startswith(b"a OK")
        s2.wait_for_log(rf"Login: user=<{user.name}>")


@pytest.mark.parametrize(
    ("user", "password", "authzid", "source", "code"),
    [
        (ALICE, ALICE.password, BOB.name, AUDITOR_ADDRESS, b"AUTHORIZATIONFAILED"),
        (MAY, MAY.password, BOB.name, unused_address().replace("127.55.", "127.56."), b"AUTHORIZATIONFAILED"),
        (MAY, "wrong", BOB.name, AUDITOR_ADDRESS, b"AUTHENTICATIONFAILED"),
        (MAY, BOB.password, BOB.name, AUDITOR_ADDRESS, b"AUTHENTICATIONFAILED"),
        (MAY, MAY.password, "nobody-at-all", AUDITOR_ADDRESS, b"AUTHORIZATIONFAILED"),
    ],
    ids=["no master", "from elsewhere", "wrong password", "the other's password", "for nobody"],
)
def test_everything_else_is_refused(
    site: Site, daemon: Vestibule, user: User, password: str, authzid: str, source: str, code: bytes
) -> None:
    with enter(daemon, site, "imap", source) as session:
        assert code in session.plain(user.name, password, authzid)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_ordinary_login_is_made_by_the_proxys_master_user(
    site: Site, daemon: Vestibule, s1: Dovecot, protocol: str
) -> None:
    user = site.user("s1")
    site.slapd.replace(f"uid={user.name},{site.slapd.people}", userPassword="known to the directory only")
    assert not answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    known = User(user.name, "known to the directory only")
    assert answer_to(daemon, site, known, protocol).startswith(ACCEPTED[protocol])
    s1.wait_for_log(rf"Login: user=<{user.name}>")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_master_user_may_be_named_behind_a_separator(site: Site, s1: Dovecot, protocol: str) -> None:
    user = site.user("s1")
    with site.vestibule({"backend_login": {**site.master(), "master_form": "separator"}}, workers=1) as daemon:
        assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    s1.wait_for_log(rf"Login: user=<{user.name}>")


def test_a_wrong_master_password_is_no_fault_of_the_client(site: Site, s1: Dovecot) -> None:
    user = site.user("s1")
    wrong = site.folder / "wrong.secret"
    wrong.write_text("not the master's password\n")
    with site.vestibule({"backend_login": {**site.master(), "master_password_file": wrong}}, workers=1) as daemon:
        answer = answer_to(daemon, site, user)
    assert answer.startswith(b"a NO [")
    assert b"AUTHENTICATIONFAILED" not in answer
    assert s1.logins(user.name) == []
