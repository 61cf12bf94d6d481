"""The check of a server: against a real one."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from ldapmap import check_server
from ldapmap.check import check_directory
from ldapmap.findings import Finding
from ldapmap.sections import Attributes, DomainSettings, FollowSettings, RuleSettings, ShardEntrySettings
from ldapmap.settings import DirectorySettings
from tests.integration import slapd as slapd_module
from tests.integration.processes import MissingPackage
from tests.integration.samba import PEOPLE, REALM, Samba
from tests.integration.slapd import Slapd
from tls import ThrowawayAuthority, backend_context

REASON = slapd_module.missing()
real = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        server.add_user("alice", "secret", mailHost="s1")
        yield server


def check(server: Slapd, *urls: str, **changes: Any) -> list[Finding]:
    given: dict[str, Any] = {
        "servers": urls or (server.ldap,),
        "base": server.people,
        "bind_dn": server.service_dn,
        "bind_password_file": server.password_file,
        **changes,
    }
    return check_directory(DirectorySettings(kind="ldap", **given), backend_context(server.ca_file, True))


GONE = RuleSettings(attribute="employeeType", not_values=("active",))


def tree(base: str) -> DomainSettings:
    return DomainSettings(names=("b.example",), base=base)


def levels(findings: list[Finding]) -> set[str]:
    return {finding.level for finding in findings}


def trouble(findings: list[Finding]) -> str:
    return "; ".join(finding.text for finding in findings if finding.level != "ok")


@real
@pytest.mark.integration
@pytest.mark.parametrize("scheme", ["ldap", "ldaps", "ldapi"])
def test_a_directory_that_fits_the_settings_is_fine(slapd: Slapd, scheme: str) -> None:
    findings = check(slapd, getattr(slapd, scheme))
    assert trouble(findings) == ""
    assert findings[-1].text == "a user found: 'uid=alice,ou=people,dc=example,dc=org', shard 's1'"


@real
@pytest.mark.integration
def test_every_server_is_checked_and_starttls_used(slapd: Slapd) -> None:
    findings = check(slapd, slapd.ldap, slapd.ldap, starttls=True)
    assert levels(findings) == {"ok"}
    assert [finding.text for finding in findings].count("reached over TLS") == 2


@real
@pytest.mark.integration
def test_only_entries_directly_below_the_base_may_be_wanted(slapd: Slapd) -> None:
    assert levels(check(slapd, scope="one")) == {"ok"}
    assert "no entry below 'dc=example,dc=org' matches" in trouble(check(slapd, scope="one", base=slapd.base))


@real
@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"bind_dn": "cn=nobody,dc=example,dc=org"}, "is refused: invalidCredentials (49)"),
        (
            {"base": "ou=nowhere,dc=example,dc=org"},
            "base 'ou=nowhere,dc=example,dc=org' is not there or may not be read",
        ),
        ({"bind_dn": "", "bind_password_file": None}, "is not there or may not be read: insufficientAccessRights (50)"),
        ({"attributes": Attributes(shard="mailShard")}, "the schema knows no attribute 'mailShard'"),
        ({"filter": "(mail=nobody@example.org)"}, "no entry below 'ou=people,dc=example,dc=org' matches the filter"),
        ({"attributes": Attributes(shard="mailRoutingAddress")}, "could not be served: 'uid=alice"),
        ({"attributes": Attributes(aliases=("mail", "email2"))}, "the schema knows no attribute 'email2'"),
        ({"attributes": Attributes(networks="allowNets")}, "the schema knows no attribute 'allowNets'"),
        ({"attributes": Attributes(disabled_reason="why;x-a")}, "the schema knows no attribute 'why;x-a'"),
        ({"attributes": Attributes(user="userid")}, "the server calls 'userid' 'uid' in its answers"),
        ({"attributes": Attributes(login="2.5.4.3")}, "the server calls '2.5.4.3' 'cn' in its answers"),
        ({"rule": (RuleSettings(attribute="accountStatus", bits=2),)}, "the schema knows no attribute 'accountStatus'"),
        (
            {"rule": (GONE,)},
            "no user has a value of employeeType that we may read, so the rule over it disables nobody",
        ),
        ({"attributes": Attributes(protocols="o")}, "no user has a value of o that we may read, so nobody may use any"),
        ({"domain": (tree("ou=nowhere,dc=example,dc=org"),)}, "base 'ou=nowhere,dc=example,dc=org' is not there"),
        ({"domain": (tree("cn=vestibule,dc=example,dc=org"),)}, "no entry below 'cn=vestibule,dc=example,dc=org'"),
        (
            {"shards": ShardEntrySettings(base="ou=shards,dc=example,dc=org")},
            "base 'ou=shards,dc=example,dc=org' is not",
        ),
        (
            {"shards": ShardEntrySettings(base="dc=example,dc=org", name="commonName", backends="backend")},
            "'commonName' 'cn' in its answers; write that instead; the schema knows no attribute 'backend'",
        ),
    ],
)
def test_what_does_not_fit_is_named(slapd: Slapd, changes: dict[str, Any], text: str) -> None:
    assert text in trouble(check(slapd, **changes))


@real
@pytest.mark.integration
def test_attributes_that_are_there_are_fine(slapd: Slapd) -> None:
    attributes = Attributes(
        aliases=("mail", "cn"), protocols="mailHost", networks="o", password_changed="pwdChangedTime"
    )
    rule = RuleSettings(attribute="mailHost", not_values=("s1",))
    assert trouble(check(slapd, attributes=attributes, rule=(rule,), domain=(tree(slapd.base),))) == ""


@real
@pytest.mark.integration
def test_a_certificate_of_somebody_else_is_an_error(slapd: Slapd, tmp_path: Path) -> None:
    stranger = backend_context(ThrowawayAuthority().write_ca(tmp_path / "ca.pem"), True)
    settings = DirectorySettings(kind="ldap", servers=(slapd.ldaps,), base=slapd.people)
    assert "certificate verify failed" in trouble(check_directory(settings, stranger))
    starttls = DirectorySettings(kind="ldap", servers=(slapd.ldap,), base=slapd.people, starttls=True)
    assert "certificate verify failed" in trouble(check_directory(starttls, stranger))


@real
@pytest.mark.integration
def test_a_slow_search_hints_at_a_missing_index(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_server, "_SLOW_SEARCH", -1.0)
    hints = trouble(check(slapd, attributes=Attributes(aliases=("mail",))))
    for name in ("uid", "mail"):
        assert f"searching for a {name} took" in hints
    assert hints.count("is there an equality index?") == 2


@real
@pytest.mark.integration
def test_a_schema_that_may_not_be_read_is_a_warning(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_server, "_first", lambda *args: "")
    assert trouble(check(slapd)) == "the schema may not be read, so attribute names are not checked"


@real
@pytest.mark.integration
def test_an_attribute_type_may_have_no_name(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    types = ["( 0.9.2342.19200300.100.1.1 NAME 'uid' )", "( 2.16.840.1.113730.3.1.18 )", "malformed"]
    monkeypatch.setattr(check_server, "_all", lambda *args: types)
    numbered = Attributes(shard="2.16.840.1.113730.3.1.18")
    assert "calls" not in trouble(check(slapd, attributes=numbered))
    assert "knows no" not in trouble(check(slapd, attributes=numbered))


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    try:
        server = Samba()
    except MissingPackage as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.mark.integration
@pytest.mark.parametrize("method", ["usn", "dirsync"])
def test_active_directory_says_how_far_it_is(samba: Samba, method: Literal["usn", "dirsync"]) -> None:
    settings = DirectorySettings(
        kind="ldap",
        servers=(samba.ldaps,),
        base=PEOPLE,
        bind_dn=f"svc@{REALM}",
        bind_password_file=samba.password_file,
        attributes=Attributes(user="sAMAccountName", shard="department", password_changed="pwdLastSet"),
        mirror=True,
        follow=FollowSettings(method=method),
    )
    findings = check_directory(settings, backend_context(samba.ca_file, True))
    assert "error" not in levels(findings)
    assert findings[-1].text.startswith("highestCommittedUSN is ")


def test_the_names_of_an_attribute_type_are_read() -> None:
    assert check_server._names("( 1.2.3 NAME 'uid' SYNTAX 1.2 )") == ["uid"]
    assert check_server._names("( 1.2.3 NAME ( 'cn' 'commonName' ) SUP name )") == ["cn", "commonName"]
    assert check_server._names("( 1.2.3 SYNTAX 1.2 )") == []


def test_tls_is_made_with_the_given_context() -> None:
    context = ssl.create_default_context()
    assert check_server._ContextTls(context).validate == ssl.CERT_REQUIRED
