"""The measurement runs from end to end on a small directory; what its figures are is not asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.directory import main
from loadtest.slapd import missing

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--users", "200", "--logins", "200", "--changes", "20", "--burst", "100", "--storm", "0.2"]


@pytest.mark.skipif(missing() != "", reason=missing())
def test_every_figure_is_told() -> None:
    command = [sys.executable, "-m", "loadtest.directory", *SMALL, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    for name in ("login, mirror and bind", "mirror: first load", "mirror: lookup", "mirror: file"):
        assert figures[name]["value"] > 0
    assert "0 entries were sent" in figures["mirror: resume"]["how"]
    assert figures["login, search and bind"]["value"] > 0
    assert figures["bind alone"]["value"] > 0
    of = {row: figures[f"storm: {row}"]["value"] for row in ("offered", "served", "told anything else")}
    assert of["offered"] == 400
    assert 0 < of["served"] <= 400
    assert of["told anything else"] == 0


def test_without_a_server_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("loadtest.slapd.find_program", lambda name: None)
    assert main(SMALL) == 2
    assert "Debian package slapd" in capsys.readouterr().err
