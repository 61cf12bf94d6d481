from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from loadtest import cli
from loadtest.fleet.ground import Ground
from loadtest.report.model import read
from loadtest.scale import command, running


def test_a_small_run_is_reported_on(
    ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "own_ground", lambda scenario: nullcontext(ground))
    monkeypatch.setattr(command, "REST", 0.1)
    monkeypatch.setattr(running, "APART", 0.05)
    monkeypatch.setattr(running, "LOOK", 0.1)
    names = {"--report": "r.json", "--page": "r.html", "--markdown": "r.md"}
    files = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    longer_than_a_point = "1.1"
    words = ["scale", "--steps", "10,20", "--hold", longer_than_a_point, "--workers", "1", *files]
    assert cli.main(words) == 0
    made = read(tmp_path / "r.json")
    assert made.held
    assert {series.group for series in made.series} >= {"sessions", "logins", "cpu", "memory"}
    assert "<html" in (tmp_path / "r.html").read_text()
    assert (tmp_path / "r.md").read_text().startswith("| sessions |")
    assert "all sessions opened" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "5,3"], "numbers that grow"),
        (["--steps", "5,x"], "a whole number from 1"),
        (["--steps", "300000"], "up to 200,000"),
        (["--hold", "-1"], "seconds from 0"),
        (["--push-every", "0"], "seconds from 0.1"),
        (["--workers", "0"], "a whole number from 1"),
    ],
)
def test_bad_usage_is_explained(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["scale", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_the_machine_has_no_room_for_is_not_begun(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "problems", lambda plan, room: iter(["raise ulimit -n"]))
    assert cli.main(["scale", "--steps", "10"]) == 2
    assert "raise ulimit -n" in capsys.readouterr().err


def test_who_asks_twice_to_stop_gets_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "scale", stop)
    assert cli.main(["scale", "--steps", "10"]) == 130
