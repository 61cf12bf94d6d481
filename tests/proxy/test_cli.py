"""The command line: what each command prints, and the exit codes scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ldapmap import Finding
from proxy import cli
from proxy.cli import main
from proxy.settings import Settings
from tests.proxy.example import SMALLEST, write_site
from tls import CertificateFault


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_site(tmp_path)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("vestibule 0.")


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["route"], ["serve", "--json"], ["route", "x", "--protocol", "smtp"]]
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: vestibule" in capsys.readouterr().err


def test_a_further_command_gets_its_own_arguments_and_is_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loadtest", "directory", "1"]) == 0
    assert "uid: user0000000\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "a help of their own: loadtest" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["serve"], ["route", "alice"]])
def test_a_bad_configuration_is_exit_code_2_and_every_fault_is_named(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_site(tmp_path, SMALLEST + '[log]\nformat = "xml"\nlevle = "info"\n')
    assert main([*command, "--config", str(config)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "vestibule: log.levle: unknown key; did you mean level?",
        'vestibule: log.format: found "xml", expected one of "json", "logfmt"',
        f"vestibule: {config} cannot be used",
    ]


def test_serve_hands_the_settings_to_the_supervisor(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Settings] = []

    def serve(settings: Settings) -> int:
        served.append(settings)
        return 7

    monkeypatch.setattr("proxy.supervisor.serve", serve)
    assert main(["serve", "--config", str(config)]) == 7
    assert served[0].file == config


def test_a_certificate_that_cannot_be_served_is_exit_code_2(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(_: Settings) -> int:
        raise CertificateFault(Path("mail.pem"), "expired", "renew it")

    monkeypatch.setattr("proxy.supervisor.serve", serve)
    assert main(["serve", "--config", str(config)]) == 2
    assert capsys.readouterr().err == "vestibule: mail.pem: expired; renew it\n"


def test_check_config_prints_a_verdict_on_each_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--offline", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"ok       {config}: 1 listeners, 1 shards, 1 backends"
    assert lines[1].startswith("ok       certificate[0]: mail.example.org")


def test_check_config_asks_the_servers_unless_told_not_to(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "check_servers", lambda _: (Finding("error", "mb1a imap", "cannot be reached"),))
    assert main(["check-config", "--config", str(config)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "error    mb1a imap: cannot be reached"
    assert main(["check-config", "--json", "--config", str(config)]) == 1
    listing = json.loads(capsys.readouterr().out)
    assert listing[-1] == {"level": "error", "subject": "mb1a imap", "text": "cannot be reached"}
    assert main(["check-config", "--offline", "--config", str(config)]) == 0


def test_check_config_asks_no_server_when_the_file_is_no_good(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(_: Settings) -> tuple[Finding, ...]:
        raise AssertionError("a server was asked")

    monkeypatch.setattr(cli, "check_servers", never)
    (config.parent / "mail.key").write_text("no key")
    assert main(["check-config", "--config", str(config)]) == 2
    assert any(line.startswith("error    certificate[0]: ") for line in capsys.readouterr().out.splitlines())
    config.write_text("[")
    assert main(["check-config", "--json", "--config", str(config)]) == 2
    assert json.loads(capsys.readouterr().out)[0]["level"] == "error"


def test_route_shows_the_way_and_whether_there_is_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "Alice", "--config", str(config)]) == 0
    assert "typed name " in capsys.readouterr().out
    assert main(["route", "alice", "--json", "--protocol", "pop3", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["found"] is True
    assert main(["route", "nobody", "--config", str(config)]) == 1
    assert "refused" in capsys.readouterr().out
