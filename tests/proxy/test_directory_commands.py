"""`vestibule directory …`: what is printed, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ldapmap import Finding, Unavailable
from proxy import directory_commands
from proxy.cli import main
from tests.proxy.example import SMALLEST, write_site

LDAP = 'kind = "ldap"\nservers = ["ldaps://ldap.example"]\nbase = "dc=example"\nmirror = true\n'
STATUS = {
    "state": "following",
    "server": "ldaps://ldap.example:636",
    "users": 500000,
    "last_contact": 0.0,
    "lag_seconds": 0.0125,
    "message": "",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_site(tmp_path)


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    return write_site(tmp_path, SMALLEST.replace('kind = "ldif"\nfile = "users.ldif"\n', LDAP))


def run(config: Path, *words: str) -> int:
    return main(["directory", *words, "--config", str(config)])


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | Exception) -> list[tuple[Path, str]]:
    asked: list[tuple[Path, str]] = []

    def ask(path: Path, question: str) -> dict[str, Any]:
        asked.append((path, question))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(directory_commands, "ask_mirror", ask)
    return asked


@pytest.mark.parametrize("words", [[], ["show"], ["mirror"], ["mirror", "dance"], ["check", "x"]])
def test_bad_usage_is_exit_code_2(config: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(config, *words)
    assert ended.value.code == 2


def test_check_prints_findings(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "check") == 0
    assert capsys.readouterr().out.startswith("ok ")
    assert run(config, "check", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["level"] == "ok"


def test_a_check_that_finds_an_error_is_exit_code_1(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_commands, "check_directory", lambda *_: [Finding("error", "ldap://a", "refused")])
    assert run(config, "check") == 1


def test_show_tells_what_the_directory_says(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "show", "alice") == 0
    assert "uid=alice,ou=people,dc=example,dc=org" in capsys.readouterr().out
    assert run(config, "show", "mallory", "--json") == 1
    assert json.loads(capsys.readouterr().out)["found"] is False


def test_the_state_of_the_mirror_is_a_table(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(monkeypatch, STATUS)
    assert run(mirrored, "mirror", "status") == 0
    assert [question for _, question in asked] == ["status"]
    assert capsys.readouterr().out.splitlines() == [
        "state         following",
        "server        ldaps://ldap.example:636",
        "users         500,000",
        "last contact  never",
        "lag seconds   12.5 ms",
    ]


def test_the_state_of_the_mirror_as_json_and_the_time_since_it_heard(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, {**STATUS, "state": "disconnected", "last_contact": 1.0})
    assert run(mirrored, "mirror", "status", "--json") == 1
    assert json.loads(capsys.readouterr().out)["state"] == "disconnected"
    assert run(mirrored, "mirror", "status") == 1
    assert "s ago" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code"), [({"ordered": True}, 0), ({"error": "not a question"}, 1)])
def test_a_rebuild_is_ordered(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], code: int
) -> None:
    asked = answering(monkeypatch, answer)
    assert run(mirrored, "mirror", "rebuild") == code
    assert [question for _, question in asked] == ["rebuild"]


def test_without_a_running_daemon_the_operator_is_told(
    mirrored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, Unavailable("mirror: no mirror answers: refused"))
    assert run(mirrored, "mirror", "status") == 1
    assert "is the daemon running?" in capsys.readouterr().err


def test_without_a_mirror_in_the_configuration_it_cannot_be_asked(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "mirror", "status") == 2
    assert "directory.mirror: is false" in capsys.readouterr().err
