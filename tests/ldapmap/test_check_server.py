"""The check of a server: against a real one."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ldapmap import check_server
from ldapmap.check import check_directory
from ldapmap.findings import Finding
from ldapmap.settings import Attributes, DirectorySettings
from tests.integration import slapd as slapd_module
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
    assert "no entry matches the filter" in trouble(check(slapd, scope="one", base=slapd.base))


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
        ({"filter": "(mail=nobody@example.org)"}, "no entry matches the filter"),
        ({"attributes": Attributes(shard="mailRoutingAddress")}, "could not be served: 'uid=alice"),
    ],
)
def test_what_does_not_fit_is_named(slapd: Slapd, changes: dict[str, Any], text: str) -> None:
    assert text in trouble(check(slapd, **changes))


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
    assert "is there an equality index?" in trouble(check(slapd))


@real
@pytest.mark.integration
def test_a_schema_that_may_not_be_read_is_a_warning(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_server, "_first", lambda *args: "")
    assert trouble(check(slapd)) == "the schema may not be read, so attribute names are not checked"


def test_the_names_of_an_attribute_type_are_read() -> None:
    assert check_server._names("( 1.2.3 NAME 'uid' SYNTAX 1.2 )") == ["uid"]
    assert check_server._names("( 1.2.3 NAME ( 'cn' 'commonName' ) SUP name )") == ["cn", "commonName"]
    assert check_server._names("( 1.2.3 SYNTAX 1.2 )") == []


def test_tls_is_made_with_the_given_context() -> None:
    context = ssl.create_default_context()
    assert check_server._ContextTls(context).validate == ssl.CERT_REQUIRED
