"""The configuration check: what is found in files, and what is found at servers."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from director import Backend, BackendSettings, EntryFault, Shards, ShardSettings
from ldapmap import Finding
from proxy import checks
from proxy.checks import check_file, check_servers
from proxy.config import load
from proxy.routes import KnownShards
from proxy.settings import Settings
from tests.proxy.example import SMALLEST, good_settings, write_site
from tests.proxy.fake_backend import STARTTLS, FakeBackend, running

IMAP = ["* OK hi", "?c CAPABILITY", "* CAPABILITY STARTTLS", "c OK", "?s STARTTLS", "s OK", STARTTLS, "?c CAPABILITY"]


def by_level(findings: tuple[Finding, ...], level: str) -> list[str]:
    return [f"{finding.subject}: {finding.text}" for finding in findings if finding.level == level]


def test_a_good_file_has_nothing_but_good_findings(tmp_path: Path) -> None:
    path = write_site(tmp_path)
    settings, findings = check_file(path)
    assert settings == load(path)
    assert {finding.level for finding in findings} == {"ok"}
    assert [finding.subject for finding in findings] == [str(path), "certificate[0]"]
    assert findings[0].text == "1 listeners, 1 shards, 1 backends"
    assert findings[1].text == "mail.example.org, 127.0.0.1: EC P-256, 29 days left"


def test_every_fault_of_the_file_is_a_finding(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + '[timeouts]\nlogn = 3\n[log]\nformat = "xml"\n')
    settings, findings = check_file(path)
    assert settings is None
    assert [finding.subject for finding in findings] == ["timeouts.logn", "log.format"]


def test_a_file_that_is_no_toml_is_one_finding_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "vestibule.toml"
    path.write_text("[")
    assert [finding.subject for finding in check_file(path)[1]] == [str(path)]


def test_certificates_are_read_as_the_daemon_would(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    path = write_site(tmp_path, not_before=now - timedelta(days=9), not_after=now - timedelta(days=2))
    (error,) = by_level(check_file(path)[1], "error")
    assert error.startswith(f"certificate[0]: {tmp_path}/mail.pem: expired on ")
    write_site(tmp_path, not_after=now + timedelta(days=3, hours=1))
    assert any("3 days" in warning for warning in by_level(check_file(path)[1], "warning"))


def test_authorities_are_read_as_the_daemon_would(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + '[backend_login]\nca_file = "mail.key"\n')
    (error,) = by_level(check_file(path)[1], "error")
    assert error.startswith(f"backend_login.ca_file: {tmp_path}/mail.key: ")


def test_what_is_unsafe_is_warned_of(tmp_path: Path) -> None:
    path = write_site(tmp_path, SMALLEST + '[backend_login]\ntls = "off"\n')
    assert by_level(check_file(path)[1], "warning") == [
        "backend_login.tls: passwords and mail travel to the backends without TLS"
    ]
    path.write_text(path.read_text().replace("mb1a.example.org", "127.0.0.1"))
    assert by_level(check_file(path)[1], "warning") == []
    path.write_text(SMALLEST + "[backend_login]\nverify = false\n")
    (tmp_path / "mail.key").chmod(0o644)
    assert [warning.split(":")[0] for warning in by_level(check_file(path)[1], "warning")] == [
        "certificate[0].key",
        "backend_login.verify",
    ]


def site(tmp_path: Path, port: int, extra: str = "") -> Settings:
    text = SMALLEST.replace("mb1a.example.org", "127.0.0.1") + f"ports = {{ imap = {port} }}\n"
    return load(write_site(tmp_path, text + '[backend_login]\nca_file = "ca.pem"\n' + extra))


def server_context(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "mail.pem", tmp_path / "mail.key")
    return context


@pytest.mark.parametrize(
    ("capabilities", "errors", "warnings"),
    [
        ("IMAP4rev1 ID", [], []),
        ("IMAP4rev1", [], ["offers neither ID nor XCLIENT"]),
        ("IMAP4rev1 ID LOGINDISABLED", ["takes no password on this connection"], []),
    ],
)
def test_a_backend_is_asked_what_it_offers(
    tmp_path: Path, capabilities: str, errors: list[str], warnings: list[str]
) -> None:
    backend = FakeBackend([*IMAP, f"* CAPABILITY {capabilities}", "c OK"])
    with running(backend):
        settings = site(tmp_path, backend.port)
        backend.context = server_context(tmp_path)
        findings = check_servers(settings)
    assert f"mb1a imap: 127.0.0.1 port {backend.port} answers, TLSv1.3" in by_level(findings, "ok")
    for level, wanted in (("error", errors), ("warning", warnings)):
        found = [text for text in by_level(findings, level) if text.startswith("mb1a")]
        assert len(found) == len(wanted)
        assert all(part in text for part, text in zip(wanted, found, strict=True))


def test_a_backend_that_does_not_answer_as_configured_is_an_error_with_its_address(tmp_path: Path) -> None:
    with running(FakeBackend(["220 smtp.example.org ESMTP"])) as backend:
        findings = check_servers(site(tmp_path, backend.port))
    (error,) = [text for text in by_level(findings, "error") if text.startswith("mb1a")]
    assert error.startswith(f"mb1a imap: 127.0.0.1 port {backend.port}: it does not speak IMAP at this port")


def test_the_backends_of_entries_are_asked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(FakeBackend(["220 smtp.example.org ESMTP"] * 2)) as backend:
        settings = site(tmp_path, backend.port)
        host = BackendSettings(name="mb2", host="127.0.0.1", ports={"imap": backend.port})
        shards = Shards([*settings.shard, ShardSettings(name="s2", backend=(host,))])
        known = KnownShards(shards, (EntryFault("s3", "is odd"),), 2)
        monkeypatch.setattr("proxy.checks.look_at_shards", lambda _: known)
        findings = check_servers(settings)
    assert "directory.shards: 2 entries in the mirror" in by_level(findings, "ok")
    assert by_level(findings, "warning") == ["directory.shards s3: the entry is not used as it is: is odd"]
    assert [text.split(":")[0] for text in by_level(findings, "error")] == ["mb1a imap", "mb2 imap"]


def test_entries_that_nobody_can_read_are_warned_of() -> None:
    ldap = 'kind = "ldap"\nservers = ["ldaps://192.0.2.1"]\nbase = "o=x"\nmirror = true\nshards.base = "ou=shards"'
    settings = good_settings(SMALLEST.replace('kind = "ldif"\nfile = "users.ldif"', ldap))
    (finding,) = checks._shard_entries(settings, KnownShards(Shards(settings.shard), (), None))
    assert finding.level == "warning"
    assert finding.text == "no mirror of them can be read: only shards of the file are checked"


def test_the_directory_is_asked_too(tmp_path: Path) -> None:
    with running(FakeBackend([])) as backend:
        settings = site(tmp_path, backend.port)
        backend.script = ["* BYE"]
        findings = check_servers(settings)
    assert any(finding.subject.endswith("users.ldif") for finding in findings)


def test_a_name_that_leads_to_our_own_listener_is_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"here.example.org": "127.0.0.1", "there.example.org": "192.0.2.77"}

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in answers:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[host], 0))]

    monkeypatch.setattr("proxy.checks.socket.getaddrinfo", resolve)
    for listening in ("0.0.0.0:143", "127.0.0.1:143", "[::]:143"):
        settings = good_settings(SMALLEST.replace("127.0.0.1:0", listening))
        assert checks._is_ourselves(settings, "here.example.org", 143)
        assert not checks._is_ourselves(settings, "here.example.org", 144)
        assert not checks._is_ourselves(settings, "there.example.org", 143)
        assert not checks._is_ourselves(settings, "nowhere.example.org", 143)
    text = SMALLEST.replace("127.0.0.1:0", "0.0.0.0:143").replace("mb1a.example.org", "here.example.org")
    settings = good_settings(text)
    context = ssl.create_default_context()
    (finding,) = checks._backend(settings, context, Backend("mb1a", "here.example.org"), "imap")
    assert finding.text == "here.example.org port 143 is this daemon's own listener: a loop"
