from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import cli
from loadtest.fleet import command
from loadtest.fleet.ground import Ground
from loadtest.people import PASSWORD
from loadtest.report.model import read

SCENARIO = """
title = "small"
users = 10
sessions = 6
seconds = 1
[arrivals]
seconds = 0.2
[mix]
read = 1
pipeliner = 1
[pace]
read = 0.1
pipeliner = 0.1
[limits]
baseline_p99 = 100
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SCENARIO)
    return str(path)


def target_options(ground: Ground, folder: Path) -> list[str]:
    """Our own site as if somebody else had started it."""
    (folder / "password").write_text(PASSWORD)
    ports = ground.target.ports
    words = ["--target", "localhost", "--ca", ground.target.ca, "--password-file", str(folder / "password")]
    named = (("--imap-port", "imap"), ("--pop3-port", "pop3"), ("--sieve-port", "managesieve"))
    return [*words, *(word for option, protocol in named for word in (option, str(ports[protocol])))]


def test_a_proxy_that_runs_already_is_tested_and_reported_on(
    ground: Ground, scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "ROUNDS", 1)
    (tmp_path / "dovecot.log").touch()
    where = [*target_options(ground, tmp_path), "--backend-log", f"mb1={tmp_path / 'dovecot.log'}"]
    files = ["--report", str(tmp_path / "r.json"), "--page", str(tmp_path / "r.html")]
    assert cli.main(["run", scenario, "--processes", "1", "--baseline", *where, *files]) == 0
    report = read(tmp_path / "r.json")
    assert report.held
    assert {check.name for check in report.checks} == {
        "content",
        "one backend for each user",
        "errors",
        "hostile clients slow nobody down",
    }
    assert "<html" in (tmp_path / "r.html").read_text()
    assert "p99 of arrival beside hostile clients" in capsys.readouterr().out


def test_a_check_that_fails_is_the_exit_code(ground: Ground, scenario: str, tmp_path: Path) -> None:
    path = Path(scenario)
    path.write_text(SCENARIO + "login_p99 = 0.0001\n")
    assert cli.main(["run", scenario, "--processes", "1", *target_options(ground, tmp_path)]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "there is no such scenario; shipped are"),
        (["steady", "--sessions", "100000", "--processes", "1"], "use --processes"),
        (["steady", "--processes", "0"], "at least 1"),
        (["steady", "--seconds", "0"], "seconds: Expected"),
        (["steady", "--baseline"], "baseline_p99"),
        (["steady", "--target", "localhost"], "--password-file"),
        (["reconnect", "--target", "localhost"], "events for backends"),
        (["steady", "--users-file", "/nothing"], "/nothing"),
        (["steady", "--backend-log", "a=b"], "only with --target"),
        (["steady", "--target", "localhost", "--users-file", "USERS", "--backend-log", "a"], "NAME=PATH"),
    ],
)
def test_what_cannot_be_tested_is_told_with_its_remedy(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "users").write_text("alice\n")
    words = [str(tmp_path / "users") if word == "USERS" else word for word in words]
    assert cli.main(["run", *words]) == 2
    assert said in capsys.readouterr().err
