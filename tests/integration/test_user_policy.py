"""What the directory says about who may log in, by which protocol and from where, through the whole proxy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from . import slapd as directory
from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to, enter
from .processes import MissingPackage
from .site import Site, User, spare_users
from .slapd import STANDARD_SCHEMAS, Slapd
from .vestibule import Vestibule

OWN_SCHEMA = Path(__file__).parents[2] / "deploy" / "schema" / "vestibule.schema"
CLASSES = ["inetOrgPerson", "inetLocalMailRecipient", "vestibuleMailRoute", "shadowAccount"]

RULES = [
    {"attribute": "vestibuleFlags", "values": ["disabled"]},
    {"attribute": "vestibuleFlags", "values": ["must-change"], "means": "expired"},
    {"attribute": "shadowExpire", "until": "days"},
    {"attribute": "employeeType", "not_values": ["staff", "student"]},
    {"attribute": "roomNumber", "until": "generalized", "means": "expired"},
]
ATTRIBUTES = {
    "user": "uid",
    "shard": "mailHost",
    "protocols": "vestibuleProtocols",
    "networks": "vestibuleNetworks",
    "disabled_reason": "description",
}

WRONG = {"imap": b"a NO [AUTHENTICATIONFAILED]", "pop3": b"-ERR [AUTH]", "managesieve": b"NO "}
EXPIRED = {"imap": b"a NO [EXPIRED]", "pop3": b"-ERR [AUTH]", "managesieve": b"NO "}
DISABLED = {"imap": b"a NO [CONTACTADMIN]", "pop3": b"-ERR [SYS/PERM]", "managesieve": b"NO "}
NOBODY = User("nobody", "the wrong one")

_people = iter(spare_users("s2"))
"""Everybody has a mailbox on every mail server; these directories have only whom a test adds."""

INSIDE = "127.7.0.9"
"""An address of a client that is in 127.7.0.0/16; clients are in 127.0.0.0/16 otherwise."""


@pytest.fixture(scope="module")
def own_slapd() -> Iterator[Slapd]:
    """A directory whose entries have attributes for all of this."""
    if reason := directory.missing():
        raise MissingPackage(f"Debian packages slapd and openssl are needed: {reason}")
    with Slapd(schemas=(*STANDARD_SCHEMAS, "nis.schema", OWN_SCHEMA)) as server:
        yield server


def changes(server: Slapd, *, reveal_disabled: bool = False, **directory_keys: Any) -> dict[str, Any]:
    """What makes a site's configuration ask this directory, by these rules."""
    keys = {"servers": [server.ldap], "attributes": ATTRIBUTES, "rule": RULES, **directory_keys}
    return {"directory": keys, "auth": {"reveal_disabled": reveal_disabled}}


@pytest.fixture(scope="module")
def daemon(site: Site, own_slapd: Slapd) -> Iterator[Vestibule]:
    """A daemon with these rules; at its end no refusal was ever taken for a fault of the directory's or a server's."""
    with site.vestibule(changes(own_slapd), workers=1) as running:
        yield running
        told = {name: value for name, value in running.metrics().items() if name.startswith("vestibule_logins_total")}
        for kind in ("directory_", "backend_", "no_backend", "own_config", "internal"):
            assert not any(value for name, value in told.items() if f'outcome="{kind}' in name), told


@pytest.fixture(scope="module")
def telling(site: Site, own_slapd: Slapd) -> Iterator[Vestibule]:
    """A daemon that tells users of disabled accounts that they are."""
    with site.vestibule(changes(own_slapd, reveal_disabled=True), workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def passing(site: Site, own_slapd: Slapd) -> Iterator[Vestibule]:
    """A daemon that leaves passwords to the mail servers, and would tell if it could."""
    passthrough = changes(own_slapd, reveal_disabled=True, auth="passthrough")
    with site.vestibule(passthrough, workers=1) as running:
        yield running


def person(server: Slapd, **attributes: str | Sequence[str]) -> User:
    """Somebody new with a mailbox, who may use every protocol unless `attributes` say otherwise."""
    user = next(_people)
    given = {"mailHost": "s1", "vestibuleProtocols": list(PROTOCOLS), **attributes}
    dn = server.add_user(user.name, user.password)
    server.replace(dn, objectClass=CLASSES, **given)
    return user


def wrong(user: User) -> User:
    return User(user.name, "the wrong one")


def refused(daemon: Vestibule, site: Site, user: User, protocol: str = "imap") -> tuple[bytes, str, str]:
    """The answer to a login that never reaches a mail server; its failure and its detail as the log tells them."""
    before = len(daemon.log_lines())
    with enter(daemon, site, protocol) as session:
        answer = session.plain(user.name, user.password)
        port = session.socket.getsockname()[1]
    line = daemon.session(after=before, port=port, protocol=protocol)
    assert not line.get("backend"), line
    return answer, line["failure"], line["detail"]


def backend_connects(daemon: Vestibule) -> float:
    """How often a mail server was connected to for a client."""
    told = daemon.metrics().items()
    return sum(value for name, value in told if name.startswith("vestibule_backend_connects_total"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_disabled_account_hears_what_a_wrong_password_hears_and_the_log_has_the_reason(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user = person(own_slapd, vestibuleFlags="Disabled", description="left on 1 May, ticket 17")
    answer, failure, detail = refused(daemon, site, user, protocol)
    assert answer.startswith(WRONG[protocol])
    assert answer == answer_to(daemon, site, NOBODY, protocol)
    assert failure == "bad_credentials"
    assert "left on 1 May, ticket 17" in detail


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_has_the_password_is_told_where_the_operator_wants_it(
    site: Site, own_slapd: Slapd, telling: Vestibule, protocol: str
) -> None:
    user = person(own_slapd, vestibuleFlags="disabled")
    answer, failure, detail = refused(telling, site, user, protocol)
    assert answer.startswith(DISABLED[protocol])
    assert answer != answer_to(telling, site, NOBODY, protocol)
    assert failure == "disabled"
    assert "vestibuleFlags is disabled" in detail
    assert answer_to(telling, site, wrong(user), protocol) == answer_to(telling, site, NOBODY, protocol)


def test_without_the_password_the_log_knows_only_of_a_wrong_one(
    site: Site, own_slapd: Slapd, daemon: Vestibule
) -> None:
    user = person(own_slapd, vestibuleFlags="disabled", description="left")
    _, failure, detail = refused(daemon, site, wrong(user))
    assert failure == "bad_credentials"
    assert "left" not in detail


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_user_may_use_the_protocols_of_the_entry_only(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user = person(own_slapd, vestibuleProtocols=protocol.upper())
    for each in PROTOCOLS:
        if each == protocol:
            assert answer_to(daemon, site, user, each).startswith(ACCEPTED[each])
            continue
        answer, failure, detail = refused(daemon, site, user, each)
        assert answer == answer_to(daemon, site, NOBODY, each)
        assert (failure, detail) == ("bad_credentials", f"the entry does not allow {each}")


def test_a_user_without_any_protocol_may_use_none(site: Site, own_slapd: Slapd, daemon: Vestibule) -> None:
    user = person(own_slapd, vestibuleProtocols=[])
    for protocol in PROTOCOLS:
        assert answer_to(daemon, site, user, protocol).startswith(WRONG[protocol])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_user_may_come_from_the_networks_of_the_entry_only(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str
) -> None:
    user = person(own_slapd, vestibuleNetworks=["127.7.0.0/16", "2001:db8::/32"])
    assert answer_to(daemon, site, user, protocol, source=INSIDE).startswith(ACCEPTED[protocol])
    answer, failure, detail = refused(daemon, site, user, protocol)
    assert answer == answer_to(daemon, site, NOBODY, protocol)
    assert (failure, detail) == ("bad_credentials", "the entry does not allow this network")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "attributes", [{"vestibuleFlags": "must-change"}, {"roomNumber": "20200101000000Z"}], ids=["flag", "time"]
)
def test_a_password_that_the_entry_calls_expired_is_told_as_one(
    site: Site, own_slapd: Slapd, daemon: Vestibule, protocol: str, attributes: dict[str, str]
) -> None:
    user = person(own_slapd, **attributes)
    answer, failure, _ = refused(daemon, site, user, protocol)
    assert answer.startswith(EXPIRED[protocol])
    assert failure == "password_expired"
    assert answer_to(daemon, site, wrong(user), protocol) == answer_to(daemon, site, NOBODY, protocol)


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({}, True),
        ({"shadowExpire": "18262"}, False),
        ({"shadowExpire": "47847"}, True),
        ({"shadowExpire": "-1"}, True),
        ({"employeeType": "Staff"}, True),
        ({"employeeType": "guest"}, False),
        ({"employeeType": ["staff", "guest"]}, False),
        ({"roomNumber": "20990101000000Z"}, True),
        ({"vestibuleFlags": ["vip", "b2b"]}, True),
        ({"vestibuleFlags": ["vip", "disabled", "must-change"]}, False),
    ],
)
def test_rules_judge_values_numbers_and_times(
    site: Site, own_slapd: Slapd, daemon: Vestibule, attributes: dict[str, Any], allowed: bool
) -> None:
    user = person(own_slapd, **attributes)
    assert answer_to(daemon, site, user).startswith(ACCEPTED["imap"] if allowed else WRONG["imap"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("attributes", [{"roomNumber": "soon"}, {"vestibuleNetworks": "home"}], ids=["time", "network"])
def test_a_value_that_nobody_understands_lets_nobody_in_and_is_no_wrong_password(
    site: Site, own_slapd: Slapd, telling: Vestibule, protocol: str, attributes: dict[str, str]
) -> None:
    user = person(own_slapd, **attributes)
    answer, failure, _ = refused(telling, site, user, protocol)
    assert answer.startswith(UNAVAILABLE[protocol])
    assert failure == "directory_misconfigured"


def test_a_change_counts_from_the_next_login_on(site: Site, own_slapd: Slapd, daemon: Vestibule) -> None:
    user = person(own_slapd)
    dn = f"uid={user.name},{own_slapd.people}"
    for flags, expected in (([], ACCEPTED), (["disabled"], WRONG), ([], ACCEPTED), (["must-change"], EXPIRED)):
        own_slapd.replace(dn, vestibuleFlags=flags)
        assert answer_to(daemon, site, user).startswith(expected["imap"])


def test_after_a_refusal_somebody_else_may_log_in_on_the_same_connection(
    site: Site, own_slapd: Slapd, daemon: Vestibule
) -> None:
    closed, good = person(own_slapd, vestibuleFlags="disabled"), person(own_slapd)
    with enter(daemon, site) as session:
        assert session.plain(closed.name, closed.password).startswith(WRONG["imap"])
        assert session.plain(good.name, good.password).startswith(ACCEPTED["imap"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_where_the_mail_server_judges_the_password_it_alone_says_yes_or_no(
    site: Site, own_slapd: Slapd, passing: Vestibule, protocol: str
) -> None:
    user = person(own_slapd)
    own_slapd.replace(f"uid={user.name},{own_slapd.people}", userPassword=[])
    assert answer_to(passing, site, user, protocol).startswith(ACCEPTED[protocol])
    refused = answer_to(passing, site, wrong(user), protocol)
    assert refused.startswith(WRONG[protocol])
    assert refused == answer_to(passing, site, NOBODY, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "attributes",
    [
        {"vestibuleFlags": "disabled"},
        {"vestibuleFlags": "must-change"},
        {"vestibuleProtocols": "smtp"},
        {"vestibuleNetworks": "192.0.2.0/24"},
    ],
    ids=["disabled", "expired", "protocol", "network"],
)
def test_whom_the_entry_refuses_no_mail_server_is_asked_for(
    site: Site, own_slapd: Slapd, passing: Vestibule, protocol: str, attributes: dict[str, str]
) -> None:
    user = person(own_slapd, **attributes)
    before = backend_connects(passing)
    answer, failure, detail = refused(passing, site, user, protocol)
    assert answer == answer_to(passing, site, NOBODY, protocol)
    assert failure == "bad_credentials"
    assert detail.startswith("the entry")
    assert backend_connects(passing) == before
