"""`vestibule loadtest report`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from loadtest.cli import main
from loadtest.report.model import write

from .example import report


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a report `first` and a slower one, `second`."""
    folder = tmp_path_factory.mktemp("reports")
    write(msgspec.structs.replace(report(), series=report().series[:1]), folder / "first")
    write(msgspec.structs.replace(report(slower=1.3), series=[]), folder / "second")
    return folder


def test_a_report_is_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(files / "first")]) == 0
    assert "All 3 checks held" in capsys.readouterr().out


def test_a_report_becomes_a_page(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(files / "first"), "--page", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert capsys.readouterr().out == ""


def test_two_reports_are_compared(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(files / "first"), str(files / "second")]
    assert main(["report", *both]) == 0
    assert "got worse" in capsys.readouterr().out
    assert main(["report", *both, "--page", str(tmp_path / "page.html")]) == 0
    assert "two runs" in (tmp_path / "page.html").read_text()


def test_what_got_worse_by_too_much_fails_when_that_is_asked_for(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [str(files / "first"), str(files / "second")]
    assert main(["report", *both, "--fail-worse", "10"]) == 1
    assert "got worse by more than 10 %: login CPU" in capsys.readouterr().err
    assert main(["report", *both, "--fail-worse", "100"]) == 0
    assert main(["report", *reversed(both), "--fail-worse", "10"]) == 0


def test_what_cannot_be_done_is_refused_with_the_reason(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, missing = str(files / "first"), str(files / "missing")
    for arguments, reason in (
        ([missing], "No such file"),
        ([first, missing], "No such file"),
        ([first, "--fail-worse", "5"], "compares two reports"),
        ([first, "--page", str(files / "no" / "page.html")], "cannot be written"),
    ):
        assert main(["report", *arguments]) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize("percent", ["-1", "nan", "inf", "much"])
def test_a_percentage_is_a_number_of_0_or_more(files: Path, percent: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["report", str(files / "first"), f"--fail-worse={percent}"])
