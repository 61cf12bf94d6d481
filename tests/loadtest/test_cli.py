"""The command `vestibule loadtest`."""

from __future__ import annotations

import importlib

import pytest

from loadtest import cli


def test_a_command_gets_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["directory", "0"]) == 0
    assert capsys.readouterr().out.startswith("dn: ")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["directory", "many"]])
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: vestibule loadtest" in capsys.readouterr().err


def test_every_command_has_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in cli.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        assert f"vestibule loadtest {name}" in capsys.readouterr().out


def test_a_library_that_is_missing_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(name="rich")

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert cli.main(["run"]) == cli.CANNOT
    assert "rich is missing; install it with: pip install 'vestibule[loadtest]'" in capsys.readouterr().err


def test_a_mistake_of_ours_is_not_mistaken_for_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ModuleNotFoundError(name="loadtest.flete")

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["run"])
