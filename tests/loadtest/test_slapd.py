"""The server to measure against: it comes, answers, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ldapmap import DirectorySettings, open_directory
from loadtest.people import PASSWORD, PEOPLE, SERVICE_DN, ldif, uid
from loadtest.slapd import Slapd, SlapdFailed, find_program, missing, slow_hash

needs_slapd = pytest.mark.skipif(missing() != "", reason=missing())


@needs_slapd
async def test_it_has_the_entries_that_it_was_given() -> None:
    with Slapd(ldif(3), processor=min(os.sched_getaffinity(0))) as server:
        settings = DirectorySettings(
            kind="ldap",
            servers=(server.ldaps,),
            base=PEOPLE,
            bind_dn=SERVICE_DN,
            bind_password_file=server.password_file,
        )
        directory = open_directory(settings, server.context)
        await directory.start()
        entry = await directory.find(uid(2))
        await directory.verify(entry, PASSWORD.encode())
        await directory.close()
        pid, home = server.pid, server.home
        assert server.load_seconds > 0
    assert not home.exists()
    assert not Path(f"/proc/{pid}").exists()


@needs_slapd
def test_entries_that_it_does_not_take_are_told() -> None:
    server = Slapd(["dn: ou=nowhere\nobjectClass: nothing\n\n"])
    with pytest.raises(SlapdFailed, match=r"(?s)slapadd ended with 1.*nowhere"), server:
        pass
    assert not server.home.exists()


@needs_slapd
def test_a_server_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Slapd(ldif(1))
    monkeypatch.setattr(server, "ldap", "nonsense://")
    with pytest.raises(SlapdFailed, match="slapd did not start"), server:
        pass
    assert not server.home.exists()


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.slapd.find_program", lambda name: None)
    assert "Debian package slapd" in missing()
    server = Slapd(ldif(1))
    with pytest.raises(SlapdFailed, match="Debian package slapd"), server:
        pass


def test_without_the_overlay_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtest.slapd.find_program", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr("loadtest.slapd.MODULES", tmp_path)
    assert "syncprov" in missing()


def test_programs_of_the_administrator_are_found() -> None:
    assert find_program("sh") is not None
    assert find_program("no-such-program-here") is None


@needs_slapd
def test_a_slow_hash_says_how_slow() -> None:
    assert slow_hash("secret", 1234).startswith("{CRYPT}$6$rounds=1234$")
