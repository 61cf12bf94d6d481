"""What a check says about settings and files; servers are checked in test_check_server."""

from pathlib import Path
from typing import Any

from ldapmap.check import check_directory
from ldapmap.findings import Finding
from ldapmap.sections import Attributes, DomainSettings, FollowSettings, RuleSettings, ServerSettings
from ldapmap.settings import DirectorySettings

UNREACHABLE = "ldap://127.0.0.1:1"


def texts(findings: list[Finding], level: str) -> list[str]:
    return [f"{finding.subject}: {finding.text}" for finding in findings if finding.level == level]


def checked_file(path: Path, content: str, **changes: Any) -> list[Finding]:
    path.write_text(content)
    return check_directory(DirectorySettings(kind="ldif", file=path, **changes), None)


def test_a_good_file_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "users.ldif"
    findings = checked_file(path, "dn: uid=a\nuid: a\nmailHost: s1\nuserPassword: x\n")
    assert findings == [Finding("ok", str(path), "1 users")]


def test_users_who_could_not_log_in_are_named_with_their_line(tmp_path: Path) -> None:
    content = "dn: uid=a\nuid: a\nmailHost: s1\nuserPassword: {CRYPT}x\n\ndn: uid=b\nuid: b\n"
    warnings = texts(checked_file(tmp_path / "users.ldif", content), "warning")
    assert [warning.split("users.ldif: ")[1] for warning in warnings] == [
        "line 1: the password scheme {CRYPT} is not supported",
        "line 6: 'uid=b' has no userPassword",
        "line 6: 'uid=b' has no mailHost",
    ]


def test_an_empty_file_is_a_warning(tmp_path: Path) -> None:
    assert texts(checked_file(tmp_path / "users.ldif", ""), "warning") == [f"{tmp_path / 'users.ldif'}: 0 users"]


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "users.ldif"
    assert texts(checked_file(path, "nonsense"), "error") == [f"{path}: line 1: not of the form attribute: value"]
    assert "LDIF" in texts(checked_file(path, "dn: uid=a\nuid: a\n", filter="(n>=5)"), "error")[0]
    path.unlink()
    missing = check_directory(DirectorySettings(kind="ldif", file=path), None)
    assert "No such file" in texts(missing, "error")[0]


def checked_servers(*servers: str, **changes: Any) -> list[Finding]:
    return check_directory(DirectorySettings(kind="ldap", servers=servers, base="dc=x", **changes), None)


def test_a_password_file_that_cannot_be_read_ends_the_check(tmp_path: Path) -> None:
    findings = checked_servers(UNREACHABLE, bind_dn="cn=x", bind_password_file=tmp_path / "missing")
    assert [finding.subject for finding in findings] == ["bind_password_file"]
    assert findings[0].level == "error"


def test_every_server_that_is_not_reached_is_an_error() -> None:
    findings = checked_servers(UNREACHABLE, "ldapi://%2Fnowhere")
    assert [finding.subject for finding in findings if finding.level == "error"] == [UNREACHABLE, "ldapi://%2Fnowhere"]


def test_what_lets_others_read_passwords_is_warned_of() -> None:
    findings = checked_servers("ldap://192.0.2.1", tls_verify=False, connect_timeout=0.01)
    warnings = texts(findings, "warning")
    assert any("certificates are not verified" in warning for warning in warnings)
    assert any(warning.startswith("ldap://192.0.2.1: passwords cross the network in clear") for warning in warnings)
    assert any("searches are anonymous" in warning for warning in warnings)


# --- several bases and servers ---


def test_every_server_is_checked_however_it_is_named_and_the_followed_ones_too() -> None:
    tables = (ServerSettings(url="ldapi://%2Fnowhere"), ServerSettings(url=UNREACHABLE, priority=2))
    follow = FollowSettings(servers=("ldapi://%2Felsewhere", UNREACHABLE))
    settings = DirectorySettings(kind="ldap", server=tables, base="dc=x", mirror=True, follow=follow)
    subjects = [finding.subject for finding in check_directory(settings, None) if finding.level == "error"]
    assert subjects == ["ldapi://%2Fnowhere", UNREACHABLE, "ldapi://%2Felsewhere"]


def test_servers_in_clear_are_warned_of_however_they_are_named() -> None:
    tables = (ServerSettings(url="ldap://192.0.2.1"),)
    settings = DirectorySettings(kind="ldap", server=tables, base="dc=x", connect_timeout=0.01)
    assert any(
        "ldap://192.0.2.1: passwords cross" in text for text in texts(check_directory(settings, None), "warning")
    )


def nested_warnings(base: str, *tables: DomainSettings, **changes: Any) -> list[str]:
    findings = check_directory(
        DirectorySettings(kind="ldap", servers=(UNREACHABLE,), base=base, domain=tables, **changes), None
    )
    return [finding.subject for finding in findings if "found with and without" in finding.text]


def test_users_with_two_names_are_warned_of() -> None:
    tree = DomainSettings(names=("b.example", "b.test"), base="ou=b,dc=x", local_part=True)
    below = DomainSettings(names=("c.example",), base="OU=c, ou=b,dc=x")
    apart = DomainSettings(names=("d.example",), base="ou=d,dc=x")
    assert nested_warnings("dc=x", tree) == ["ou=b,dc=x"]
    assert nested_warnings("ou=a,dc=x", tree, below) == ["ou=b,dc=x"]
    assert nested_warnings("ou=a,dc=x", tree, apart) == []
    assert nested_warnings("dc=x", apart) == []
    assert nested_warnings("dc=x", tree, scope="one") == []


def test_users_in_a_file_who_are_judged_elsewhere_need_no_password(tmp_path: Path) -> None:
    content, path = "dn: uid=a\nuid: a\nmailHost: s1\n", tmp_path / "users.ldif"
    assert texts(checked_file(path, content, auth="passthrough"), "warning") == []
    here = DomainSettings(names=("a.example",), auth="bind")
    assert len(texts(checked_file(path, content, auth="passthrough", domain=(here,)), "warning")) == 1


def test_restrictions_in_a_file_that_cannot_be_understood_are_named(tmp_path: Path) -> None:
    content = "dn: uid=a\nuid: a\nmailHost: s1\nuserPassword: x\nflags: two\n\ndn: cn=b\nmail: b@x\nuserPassword: x\n"
    rule = RuleSettings(attribute="flags", bits=2)
    findings = checked_file(tmp_path / "u.ldif", content, rule=(rule,), attributes=Attributes(aliases=("mail",)))
    assert [warning.split("u.ldif: ")[1] for warning in texts(findings, "warning")] == [
        "line 1: flags of 'uid=a' is no number",
        "line 7: 'cn=b' has no mailHost",
    ]
