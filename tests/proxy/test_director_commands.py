"""`vestibule backends|who|moves|explain|…`: what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

import pytest

from proxy import screen
from proxy.cli import main
from proxy.director_commands import COMMANDS
from tests.proxy.fake_director import Place, rows, site

SESSION = {
    "user": "alice", "protocol": "imap", "address": "192.0.2.7", "backend": "mb1a", "shard": "s1", "session": "x1",
    "worker": 0, "began": 1.0, "leaving": False, "node": "front1",
}  # fmt: skip


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        yield made


def run(place: Place, *words: str) -> int:
    return main([*words, "--config", str(place.config)])


@pytest.mark.parametrize(
    "words",
    [["kick"], ["move", "alice"], ["drain"], ["online"], ["abort"], ["explain"], ["who", "a", "b"], ["who", "-y"]],
)
def test_bad_usage_is_exit_code_2(place: Place, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(place, *words)
    assert ended.value.code == 2


def test_without_a_director_every_command_says_so_and_is_exit_code_1(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"kick": ["alice"], "move": ["alice", "mb1a"], "explain": ["alice"], "abort": ["x"], "flush": ["alice"]}
    words |= {command: ["mb1a"] for command in ("drain", "standby", "online", "offline")}
    for command in COMMANDS:
        assert run(place, command, *words.get(command, [])) == 1
        assert "is vestibule running, and may this user read it?" in capsys.readouterr().err


def test_a_bad_configuration_is_exit_code_2(place: Place) -> None:
    place.config.write_text("[")
    assert run(place, "backends") == 2


@pytest.mark.parametrize(
    ("command", "last"),
    [("backends", "no backends"), ("shards", "0 shards; 0 users, 0 sessions"), ("who", "no sessions"),
     ("moves", "no moves"), ("limits", "nobody waits, or is near a limit")],
)  # fmt: skip
def test_every_listing_ends_with_a_total_and_can_be_json(
    place: Place, command: str, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place.start(**{command: rows()})
    assert run(place, command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last
    assert run(place, command, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_who_asks_for_a_target_and_finds_nobody(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(who=rows(), limits=rows())
    assert run(place, "who", "Alice") == 1
    assert run(place, "limits", "192.0.2.7") == 1
    assert [q["target"] for q in director.asked if q["ask"] != "backends"] == ["alice", "192.0.2.7"]


def test_sessions_from_a_network_can_be_shown_and_limits_of_one_cannot(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    director = place.start(who=rows(SESSION))
    assert run(place, "who", "192.0.2.7/24", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [SESSION]
    assert director.asked == [{"ask": "who", "target": "192.0.2.0/24"}]
    assert run(place, "limits", "192.0.2.0/24") == 1


def test_moves_are_watched_until_that_is_enough(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[float] = []

    def pause(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(screen, "pause", pause)
    place.start(moves=[rows(), rows(), rows({"job": "move alice", "users": 1})])
    assert run(place, "moves", "--watch") == 0
    assert capsys.readouterr().out.splitlines() == [
        "no moves", "MOVE        USERS  MOVED", "move alice      1      0  under way",
        "1 move, 1 under way with 0 users to go",
    ]  # fmt: skip


def test_explain_tells_a_story_or_everything_as_json(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(explain={"ok": True, "user": "alice", "record": None, "sessions": [], "candidates": []})
    assert run(place, "explain", "Alice") == 0
    assert "no backend: the next login decides" in capsys.readouterr().out
    assert director.asked == [{"ask": "explain", "user": "alice", "shard": "s1", "preferred": ""}]
    assert run(place, "explain", "alice", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["found"], shown["director"]["user"]) == (True, "alice")
    assert run(place, "explain", "nobody") == 1


def test_a_name_that_cannot_be_one_is_refused(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.start()
    assert run(place, "explain", "") == 1
    assert capsys.readouterr().err.startswith("vestibule: no name of a user: ")


def test_the_status_is_a_few_lines(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.start(status={"ok": True, "node": "front1", "life": "front1/1", "store": {"kind": "memory"}})
    assert run(place, "status") == 0
    assert capsys.readouterr().out.startswith("node             front1, in this life front1/1\n")


def test_a_reader_who_goes_away_is_no_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.start(who=rows(SESSION))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert run(place, "who") == 1
        monkeypatch.undo()
