from __future__ import annotations

from pathlib import Path

from loadtest.report.model import Share, read, write
from tests.loadtest.fleet.reports import made_up


def test_a_report_has_everything_and_outlives_its_file(tmp_path: Path) -> None:
    report = made_up()
    write(report, tmp_path / "r.json")
    assert read(tmp_path / "r.json") == report
    assert [one.phase for one in report.latencies] == ["login", "arrival"]
    assert report.distribution == [Share("s1a", "s1", 1, 1), Share("s1b", "s1", 0, 0)]
    assert {figure.name: figure.value for figure in report.figures}["TLS resumption"] == 75
    assert report.scenario["mix"]["idle"] == 1


def test_what_events_explain_is_told_apart() -> None:
    assert {error.kind for error in made_up().errors} == {
        "login: refused",
        "idle: connection lost (explained by an event)",
    }


def test_an_interrupted_run_says_so() -> None:
    assert made_up(interrupted=True).interrupted
