"""The command line: which parts are measured, and how the figures are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtest import director
from loadtest.director import PARTS, main
from loadtest.figures import Figure, Machine
from loadtest.slapd import SlapdFailed

MACHINE = Machine(processors=2, python="3.11", additions=1.0, sha512=1.0, load=0.0)


@pytest.fixture(autouse=True)
def _parts_without_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {name: lambda options, name=name: [Figure(f"{name}: one", options.users, "", "", "")] for name in PARTS}
    monkeypatch.setattr(director, "PARTS", parts)
    monkeypatch.setattr(director, "this_machine", lambda: MACHINE)


def test_all_parts_are_told_with_what_else_the_machine_had_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2 processors")
    for part in PARTS:
        assert f"{part}: one" in printed
        assert f"{part}: processors busy with others" in printed


def test_some_parts_may_be_chosen_and_written_for_programs(tmp_path: Path) -> None:
    assert main(["--only", "routes,assign", "--users", "7", "--json", str(tmp_path / "figures.json")]) == 0
    told = json.loads((tmp_path / "figures.json").read_text())
    assert [figure["name"].partition(":")[0] for figure in told["figures"]] == ["routes", "routes", "assign", "assign"]
    assert told["figures"][0]["value"] == 7
    assert "load" in told["machine"]


def test_a_part_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    assert "failover, routes, drain, assign" in capsys.readouterr().err


def test_what_cannot_be_done_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> list[Figure]:
        raise SlapdFailed("there is no slapd")

    monkeypatch.setattr(director, "PARTS", {"drain": fail})
    assert main(["--only", "drain"]) == 2
    assert "there is no slapd" in capsys.readouterr().err
