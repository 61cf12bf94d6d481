"""`check-config` and `route` as an operator runs them, against the real directory and the real mail servers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from .site import ALICE, Site
from .vestibule import Vestibule, command


def run(daemon: Vestibule, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command with the daemon's configuration."""
    done = subprocess.run(
        command(*arguments, "--config", str(daemon.config)), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def findings(site: Site, changes: dict[str, Any]) -> tuple[int, dict[str, list[str]]]:
    """Exit code of `check-config` for a changed configuration, and its findings by level."""
    daemon = site.vestibule(changes)
    code, output = run(daemon, "check-config", "--json")
    found: dict[str, list[str]] = {"ok": [], "warning": [], "error": []}
    for finding in json.loads(output):
        found[finding["level"]].append(f"{finding['subject']}: {finding['text']}")
    return code, found


def test_a_good_site_passes_every_check(site: Site) -> None:
    code, found = findings(site, {})
    assert (code, found["error"]) == (0, [])
    assert any("mb1" in line for line in found["ok"])
    assert any(site.slapd.ldap in line for line in found["ok"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"directory": {"servers": ["ldap://127.0.0.1:9"]}}, "127.0.0.1:9"),
        ({"directory": {"base": "ou=nowhere,dc=example,dc=org"}}, "nowhere"),
        ({"directory": {"attributes": {"user": "uid", "shard": "noSuchAttribute"}}}, "noSuchAttribute"),
        ({"backend_login": {"ca_file": None}}, "certificate"),
    ],
)
def test_a_fault_outside_the_file_is_named(site: Site, changes: dict[str, Any], told: str) -> None:
    code, found = findings(site, changes)
    assert code == 1
    assert any(told in line for line in found["error"]), found


def test_a_backend_that_is_away_is_named(site: Site) -> None:
    shard = [{"name": "s1", "backend": [{"name": "gone", "host": "127.0.0.1", "ports": {"imap": 9, "pop3": 9}}]}]
    code, found = findings(site, {"shard": shard})
    assert code == 1
    assert any("gone" in line for line in found["error"])


def test_a_fault_in_the_file_is_one_message_with_the_key(site: Site) -> None:
    daemon = site.vestibule({"backend_login": {"tls": "maybe"}, "timeouts": {"drain": -1}})
    for name in ("check-config", "serve"):
        code, output = run(daemon, name)
        assert code == 2
        assert "backend_login.tls" in output
        assert "timeouts.drain" in output


def test_a_route_is_explained_step_by_step(site: Site) -> None:
    daemon = site.vestibule()
    code, output = run(daemon, "route", "Alice+lists", "--json")
    assert code == 0
    text = json.dumps(json.loads(output))
    for told in ("alice", "(uid=alice)", "s1", "mb1"):
        assert told in text
    code, output = run(daemon, "route", "Alice+lists")
    assert code == 0
    assert "mb1" in output


def test_nobodys_route_is_not_found(site: Site) -> None:
    code, output = run(site.vestibule(), "route", "nobody-at-all")
    assert code == 1
    assert "nobody-at-all" in output
    assert ALICE.password not in output
