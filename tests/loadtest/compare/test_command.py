"""The command from end to end with two products and tiny counts, and what it refuses."""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path

import pytest

from loadtest.compare import command
from loadtest.compare.parts import PARTS, Scale
from loadtest.compare.rounds import Results
from loadtest.fleet.ending import CANNOT, INTERRUPTED
from loadtest.report.model import read

from .trial import TINY


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_a_run_prints_a_table_and_writes_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "QUICK", TINY)
    files = {name: tmp_path / name for name in ("report", "picture", "markdown")}
    words = [f"--{name}={path}" for name, path in files.items()]
    assert command.run(parsed("--quick", "--only", "Vestibule,login,records", *words)) == command.DONE
    captured = capsys.readouterr()
    assert "small records to the backend" in captured.out
    assert "round 1 of 1: login: Vestibule" in captured.err
    report = read(files["report"])
    assert [measure.name for measure in report.measures] == [
        "login",
        "login, p50",
        "login, p99",
        "small records to the backend",
    ]
    assert not report.interrupted
    assert json.dumps(report.scenario)
    assert files["picture"].read_text().startswith("<svg")
    assert "| login | µs CPU |" in files["markdown"].read_text()


def test_an_interrupted_run_tells_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(products: object, parts: object, scale: Scale, results: Results) -> None:
        results.add("login", "Vestibule", 400.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", interrupted)
    assert command.run(parsed("--report", str(tmp_path / "report"))) == INTERRUPTED
    report = read(tmp_path / "report")
    assert report.interrupted
    assert report.measures[0].values["Vestibule"].median == 400.0


def test_without_vestibule_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(products: object, parts: object, scale: Scale, results: Results) -> None:
        results.absent["Vestibule"] = "it did not start"

    monkeypatch.setattr(command, "measure", failing)
    assert command.run(parsed()) == CANNOT


def test_too_few_open_files_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: None)
    assert command.run(parsed()) == CANNOT
    assert "17,000 open files" in capsys.readouterr().err


def test_names_choose_products_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    products, parts = command._chosen(parsed("--only", "nginx, Vestibule ,storm").only)
    assert ([product.name for product in products], list(parts)) == (["Vestibule", "nginx"], ["storm"])
    products, parts = command._chosen(())
    assert (len(products), list(parts)) == (len(command.PRODUCTS), list(PARTS))
    with pytest.raises(SystemExit):
        parsed("--only", "courier")
    assert "'courier' is none of vestibule" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parsed("--rounds", "0")
