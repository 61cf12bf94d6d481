"""OpenLDAP's password policy (slapo-ppolicy(5)) as a mail client meets it, through the whole proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ldap3
import pytest

from . import slapd as directory
from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to, enter
from .processes import MissingPackage
from .site import Site, User, spare_users
from .slapd import BASE, Slapd
from .vestibule import Vestibule

RELAX_RULES = ("1.3.6.1.4.1.4203.666.5.12", True, None)
"""The control that lets the root identity write what the server keeps for itself."""

LOCKING, AGEING, GRACEFUL = (f"cn={name},{BASE}" for name in ("locking", "ageing", "graceful"))
FAILURES, GRACE_LOGINS = 2, 2
POLICIES = {
    LOCKING: {"pwdLockout": "TRUE", "pwdMaxFailure": str(FAILURES), "pwdMustChange": "TRUE"},
    AGEING: {"pwdMaxAge": "3600"},
    GRACEFUL: {"pwdMaxAge": "3600", "pwdGraceAuthNLimit": str(GRACE_LOGINS)},
}

EXPIRED = {"imap": b"a NO [EXPIRED]", "pop3": b"-ERR [AUTH]", "managesieve": b"NO "}
WRONG = {"imap": b"a NO [AUTHENTICATIONFAILED]", "pop3": b"-ERR [AUTH]", "managesieve": b"NO "}
LONG_AGO = "20200101000000Z"

NOBODY = User("nobody", "the wrong one")

_people = iter(spare_users("s2"))
"""Everybody has a mailbox on every mail server; these directories have only whom a test adds."""


@pytest.fixture(scope="module", params=[True, False], ids=["ppolicy_use_lockout", "without it"])
def own_slapd(request: pytest.FixtureRequest) -> Iterator[Slapd]:
    """A directory with password policies; its locked accounts are told from wrong passwords, or not."""
    if reason := directory.missing():
        raise MissingPackage(f"Debian packages slapd and openssl are needed: {reason}")
    with Slapd(use_lockout=request.param) as server:
        for dn, values in POLICIES.items():
            server.add(dn, ["organizationalRole", "pwdPolicy"], {"pwdAttribute": "userPassword", **values})
        yield server


@pytest.fixture(scope="module")
def daemon(site: Site, own_slapd: Slapd) -> Iterator[Vestibule]:
    """A daemon that asks this directory; at its end nothing was ever taken for a fault of ours or of the directory."""
    with site.vestibule({"directory": {"servers": [own_slapd.ldap]}}, workers=1) as running:
        yield running
        metrics = running.metrics()
        assert metrics['vestibule_directory_up{worker="0"}'] == 1
        assert faults_of_ours(metrics) == {}
        for word in ("secret-", "wrong one"):
            assert word not in running.log()


def faults_of_ours(metrics: dict[str, float]) -> dict[str, float]:
    """The logins that failed by something that is not the user's password."""
    kinds = ("directory_", "backend_", "no_backend", "own_config", "internal", "limit")
    told = {name: value for name, value in metrics.items() if name.startswith("vestibule_logins_total") and value}
    return {name: value for name, value in told.items() if any(f'outcome="{kind}' in name for kind in kinds)}


def person(server: Slapd, policy: str, **attributes: Any) -> tuple[User, str]:
    """Somebody new under a policy, with a mailbox and a right password; and the entry's DN."""
    user = next(_people)
    return user, server.add_user(user.name, user.password, mailHost="s1", pwdPolicySubentry=policy, **attributes)


def age(server: Slapd, dn: str) -> None:
    """Make the password one that was set long ago."""
    changes = {"pwdChangedTime": [(ldap3.MODIFY_REPLACE, [LONG_AGO])]}
    assert server.admin().modify(dn, changes, controls=[RELAX_RULES]), server.admin().result


def wrong(user: User) -> User:
    return User(user.name, "the wrong one")


def lock(daemon: Vestibule, site: Site, user: User, protocol: str = "imap") -> None:
    for _ in range(FAILURES):
        assert answer_to(daemon, site, wrong(user), protocol).startswith(WRONG[protocol])


def logged(daemon: Vestibule, site: Site, user: User, protocol: str = "imap") -> tuple[str, str]:
    """The failure and its detail as the log tells them about a login that never reached a mail server."""
    before = len(daemon.log_lines())
    with enter(daemon, site, protocol) as session:
        session.plain(user.name, user.password)
        port = session.socket.getsockname()[1]
    line = daemon.session(after=before, port=port, protocol=protocol)
    assert not line.get("backend"), line
    return line["failure"], line["detail"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_locked_account_hears_what_a_wrong_password_hears(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user, dn = person(own_slapd, LOCKING)
    assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    lock(daemon, site, user, protocol)
    locked = answer_to(daemon, site, user, protocol)
    assert locked == answer_to(daemon, site, NOBODY, protocol)
    assert locked.startswith(WRONG[protocol])
    own_slapd.replace(dn, pwdAccountLockedTime=[])
    assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])


def test_only_the_log_tells_a_locked_account_and_only_where_the_server_does(
    site: Site, own_slapd: Slapd, daemon: Vestibule, request: pytest.FixtureRequest
) -> None:
    user, _ = person(own_slapd, LOCKING)
    lock(daemon, site, user)
    failure, detail = logged(daemon, site, user)
    assert failure == "bad_credentials"
    told_by_server = "without it" not in request.node.name
    assert ("accountLocked" in detail) == told_by_server


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_expired_password_is_told_as_one_and_a_wrong_one_is_wrong(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user, dn = person(own_slapd, AGEING)
    assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    age(own_slapd, dn)
    assert answer_to(daemon, site, user, protocol).startswith(EXPIRED[protocol])
    assert logged(daemon, site, user, protocol) == ("password_expired", "password policy: passwordExpired")
    assert answer_to(daemon, site, wrong(user), protocol) == answer_to(daemon, site, NOBODY, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_grace_logins_are_logins_until_they_are_used_up(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user, dn = person(own_slapd, GRACEFUL)
    age(own_slapd, dn)
    for _ in range(GRACE_LOGINS):
        assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    assert answer_to(daemon, site, user, protocol).startswith(EXPIRED[protocol])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_reset_password_has_to_be_changed_first(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user, dn = person(own_slapd, LOCKING, pwdReset="TRUE")
    assert answer_to(daemon, site, user, protocol).startswith(EXPIRED[protocol])
    assert logged(daemon, site, user, protocol) == ("password_expired", "password policy: changeAfterReset")
    assert answer_to(daemon, site, wrong(user), protocol) == answer_to(daemon, site, NOBODY, protocol)
    own_slapd.replace(dn, pwdReset=[])
    assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])


def test_a_policy_never_costs_others_their_login(site: Site, own_slapd: Slapd, daemon: Vestibule) -> None:
    """A connection on which somebody was refused serves the next one."""
    locked, _ = person(own_slapd, LOCKING)
    good, _ = person(own_slapd, LOCKING)
    lock(daemon, site, locked)
    for _ in range(FAILURES * 2):
        answer = answer_to(daemon, site, locked)
        assert not answer.startswith(UNAVAILABLE["imap"])
        assert answer_to(daemon, site, good).startswith(ACCEPTED["imap"])
