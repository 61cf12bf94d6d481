"""The check of whether a mirror can follow a server: scripted answers, and real servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pytest

from ldapmap import check_follow
from ldapmap.check import check_directory
from ldapmap.check_follow import check_ad, check_sync
from ldapmap.client.ber import BerError
from ldapmap.findings import Finding
from ldapmap.sections import DomainSettings, FollowSettings, ShardEntrySettings
from ldapmap.settings import DirectorySettings
from tests.integration import slapd as slapd_module
from tests.integration.slapd import Slapd, ssha
from tests.ldapmap import oracle

REASON = slapd_module.missing()
real = pytest.mark.skipif(bool(REASON), reason=REASON)
FIRST = 1_000_000_001
LIMITED = "cn=limited,dc=example,dc=org"


class ScriptedConnection:
    """What ldap3's connection has, and a socket that answers what the script says."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.socket = self
        self.answers = list(answers)
        self.sent: list[bytes] = []

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, size: int) -> bytes:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def entry(message_id: int, number: int = 0) -> bytes:
    return oracle.search_entry(message_id, f"uid={number},dc=x", {})


def done(message_id: int, code: int, diagnostic: str = "") -> bytes:
    return oracle.result(message_id, "searchResDone", code, diagnostic)


def outcomes(*answers: bytes, **changes: Any) -> list[tuple[str, str]]:
    settings = DirectorySettings(kind="ldap", base="dc=x", **changes)
    return list(check_sync(ScriptedConnection(answers), settings))


def test_everything_read_is_good() -> None:
    assert outcomes(entry(FIRST) + entry(FIRST), done(FIRST, 0)) == [("ok", "base 'dc=x' can be followed: 2 entries")]


@pytest.mark.parametrize("code", [3, 4, 11])
def test_a_limit_is_an_error_that_says_how_many_entries_were_shown(code: int) -> None:
    ((level, text),) = outcomes(entry(FIRST), done(FIRST, code, "limit"))
    assert level == "error"
    assert text.startswith(f"of base 'dc=x' the server shows 1 entries and no more ({code} limit); lift its limits")


@pytest.mark.parametrize("code", [2, 12, 50, 53])
def test_a_refusal_is_an_error(code: int) -> None:
    ((level, text),) = outcomes(done(FIRST, code))
    assert level == "error"
    assert text.startswith(f"base 'dc=x' cannot be followed ({code}); does it offer RFC 4533")


def test_nothing_is_read_beyond_any_usual_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_follow, "ENOUGH", 2)
    connection = ScriptedConnection([entry(FIRST), entry(FIRST), entry(FIRST), entry(FIRST + 2), done(FIRST + 2, 0)])
    table = DomainSettings(names=("b.example",), base="ou=b")
    found = list(check_sync(connection, DirectorySettings(kind="ldap", base="dc=x", domain=(table,))))
    assert found == [
        ("ok", "base 'dc=x' can be followed: 2 entries read, no limit met"),
        ("ok", "base 'ou=b' can be followed: 1 entries"),
    ]
    assert connection.sent[1] == oracle.abandon_request(FIRST + 1, FIRST)


def test_a_connection_that_ends_or_says_nonsense_is_an_error() -> None:
    with pytest.raises(BerError, match="closed"):
        outcomes(b"")
    with pytest.raises(BerError):
        outcomes(b"HTTP/1.1 400 Bad Request")


def test_a_server_that_never_comes_to_the_point_is_given_up() -> None:
    with pytest.raises(TimeoutError, match="too slowly"):
        outcomes(entry(1), operation_timeout=0.01)


# --- Active Directory ---

SHOW_DELETED, DIRSYNC = b"1.2.840.113556.1.4.417", b"1.2.840.113556.1.4.841"


@pytest.mark.parametrize(
    ("method", "root", "level", "text"),
    [
        ("usn", {"highestCommittedUSN": [b"7"], "supportedControl": [SHOW_DELETED]}, "ok", "highestCommittedUSN is 7"),
        ("dirsync", {"highestCommittedUSN": [b"7"], "supportedControl": [DIRSYNC]}, "ok", "highestCommittedUSN is 7"),
        ("usn", {"highestCommittedUSN": [b"7"]}, "error", "cannot show deleted entries"),
        (
            "dirsync",
            {"highestCommittedUSN": [b"7"], "supportedControl": [SHOW_DELETED]},
            "error",
            "does not offer DirS",
        ),
        ("usn", {}, "error", 'no highestCommittedUSN; follow.method = "usn" is for Active Directory'),
        ("dirsync", {"highestCommittedUSN": []}, "error", "no highestCommittedUSN"),
    ],
)
def test_what_an_active_directory_offers_is_in_its_root(
    method: Literal["usn", "dirsync"], root: dict[str, list[bytes]], level: str, text: str
) -> None:
    found = list(check_ad(method, root))
    assert found[-1][0] == level
    assert text in found[-1][1]


# --- real servers ---


@pytest.fixture(scope="module")
def provider() -> Iterator[Slapd]:
    """A server that can be followed, and an identity with a size limit of 3."""
    server = Slapd(provider=True)
    server.node = "sizelimit 3\n"
    server.replication = (
        "access to attrs=userPassword by anonymous auth by * none\n"
        f'access to * by dn.exact="{LIMITED}" read by * break\n'
    )
    with server:
        for number in range(5):
            server.add_user(f"u{number}", "secret", mailHost="s1")
        role = ["organizationalRole", "simpleSecurityObject"]
        server.add(LIMITED, role, {"userPassword": ssha(server.service_password)})
        yield server


def check(server: Slapd, **changes: Any) -> list[Finding]:
    given: dict[str, Any] = {
        "servers": (server.ldap,),
        "base": server.people,
        "bind_dn": server.service_dn,
        "bind_password_file": server.password_file,
        "mirror": True,
        **changes,
    }
    return check_directory(DirectorySettings(kind="ldap", **given), None)


def told(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


@real
@pytest.mark.integration
def test_a_provider_can_be_followed(provider: Slapd) -> None:
    findings = check(provider)
    assert told(findings, "error") == []
    assert findings[-1].text == f"base {provider.people!r} can be followed: 6 entries"


@real
@pytest.mark.integration
def test_every_base_and_the_shards_are_tried(provider: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_follow, "ENOUGH", 2)
    table = DomainSettings(names=("b.example",), base=provider.base)
    findings = check(provider, domain=(table,), shards=ShardEntrySettings(base=provider.people, backends="mailHost"))
    assert told(findings, "error") == []
    assert [finding.text for finding in findings[-3:]] == [
        f"base {base!r} can be followed: 2 entries read, no limit met"
        for base in (provider.people, provider.base, provider.people)
    ]


@real
@pytest.mark.integration
def test_an_identity_with_a_size_limit_cannot_follow(provider: Slapd) -> None:
    (problem,) = told(check(provider, bind_dn=LIMITED), "error")
    assert problem.startswith(f"of base {provider.people!r} the server shows 3 entries and no more (4")


@real
@pytest.mark.integration
def test_a_server_without_the_overlay_cannot_be_followed_though_it_knows_the_control() -> None:
    with Slapd() as server:
        (problem,) = told(check(server), "error")
    assert f"base {server.people!r} cannot be followed (12" in problem


@real
@pytest.mark.integration
@pytest.mark.parametrize("method", ["usn", "dirsync"])
def test_openldap_cannot_be_followed_as_active_directory(provider: Slapd, method: Literal["usn", "dirsync"]) -> None:
    (problem,) = told(check(provider, follow=FollowSettings(method=method)), "error")
    assert "no highestCommittedUSN" in problem
