from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from loadtest.fleet.ending import CANNOT, FAILED, HELD, INTERRUPTED, told
from loadtest.report.model import Check, read
from tests.loadtest.fleet.reports import made_up


def test_the_exit_code_says_what_came_of_it() -> None:
    good = replace(made_up(), checks=[Check("content", True, "all of it")])
    assert told(good, report=None, page=None) == HELD
    assert told(made_up(), report=None, page=None) == FAILED
    assert told(made_up(interrupted=True), report=None, page=None) == INTERRUPTED


def test_what_is_asked_for_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, page, other = (tmp_path / name for name in ("r.json", "r.html", "r.md"))
    told(made_up(), report=report, page=page, others={other: "a table"})
    assert read(report).checks == made_up().checks
    assert "<html" in page.read_text()
    assert other.read_text() == "a table"
    assert "ran for 10 s" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(made_up(), report=tmp_path / "none" / "r.json", page=None) == CANNOT
    assert "none/r.json" in capsys.readouterr().err
