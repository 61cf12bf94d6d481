"""Orders: what the director is told, what the operator reads, what a script can rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy import screen
from proxy.cli import main
from proxy.screen import Screen
from tests.proxy.fake_director import FakeDirector, Place, refused, rows, site

BACKENDS = rows({"backend": "mb1a", "users": 3, "sessions": 1200}, {"backend": "mb1b", "users": 0, "sessions": 0})
PLAN = {"ok": True, "job": "drain mb1a", "users": 3, "sessions": 7, "to": {"mb1b": 3}}


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        yield made


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody who says no; the questions that were put."""
    questions: list[str] = []

    def agreed(_: Screen, question: str) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr(Screen, "agreed", agreed)
    return questions


def run(place: Place, *words: str) -> int:
    return main([*words, "--config", str(place.config)])


def orders(director: FakeDirector) -> list[dict[str, Any]]:
    """What was asked but the look at the backends."""
    return [question for question in director.asked if question["ask"] not in ("backends", "moves")]


# --- kick ---


def test_a_kick_tells_how_many_sessions_it_ends(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(kick={"ok": True, "kicked": 2})
    assert run(place, "kick", "Alice") == 0
    assert capsys.readouterr().out == "2 sessions of alice on this node told to end; other nodes are told, too\n"
    assert orders(director) == [{"ask": "kick", "target": "alice"}]


def test_a_kick_of_nobody_is_exit_code_1(place: Place) -> None:
    place.start(kick={"ok": True, "kicked": 0})
    assert run(place, "kick", "192.0.2.7") == 1


def test_a_network_cannot_be_kicked(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start()
    assert run(place, "kick", "192.0.2.0/24") == 1
    assert "name a user, an address or a backend" in capsys.readouterr().err
    assert orders(director) == []


def test_before_a_backend_is_kicked_one_is_asked(
    place: Place, refusing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    director = place.start(backends=BACKENDS, kick={"ok": True, "kicked": 1200})
    assert run(place, "kick", "mb1a") == 1
    assert refusing == ["end 1,200 sessions on mb1a? Their users come back to it at once."]
    assert capsys.readouterr().out == "nothing was done\n"
    assert orders(director) == []
    assert run(place, "kick", "mb1a", "--yes") == 0


# --- move and drain ---


def test_a_dry_run_moves_nobody(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(drain=PLAN, move={**PLAN, "users": 1, "sessions": 1, "to": {"mb1b": 1}})
    assert run(place, "drain", "mb1a", "--dry-run") == 0
    assert run(place, "move", "Alice", "mb1b", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "would be done: 3 users with 7 sessions on this node to move (users to: 3 mb1b)",
        "would be done: 1 user with 1 session on this node to move (users to: 1 mb1b)",
    ]
    assert orders(director) == [
        {"ask": "drain", "backend": "mb1a", "dry": True},
        {"ask": "move", "user": "alice", "backend": "mb1b", "dry": True},
    ]


def test_a_drain_tells_first_what_it_would_do(place: Place, refusing: list[str]) -> None:
    director = place.start(drain=PLAN)
    assert run(place, "drain", "mb1a") == 1
    assert refusing[0].startswith("drain mb1a: 3 users with 7 sessions on this node to move")
    assert [order["dry"] for order in orders(director)] == [True]


def test_a_move_that_has_begun_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.start(drain=PLAN, move={"ok": True, "job": "move alice", "users": 0, "sessions": 0, "to": {"mb1b": 1}})
    assert run(place, "drain", "mb1a", "--yes") == 0
    assert run(place, "move", "alice", "mb1b", "--wait") == 0
    assert capsys.readouterr().out.splitlines() == [
        "drain mb1a: 3 users with 7 sessions on this node to move (users to: 3 mb1b)",
        "`vestibule moves --watch` shows how far it is",
        "move alice: 0 users with 0 sessions on this node to move (users to: 1 mb1b)",
    ]


def test_a_move_that_is_refused_says_why(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.start(move=refused("mb9 is no backend of shard s1"))
    assert run(place, "move", "alice", "mb9") == 1
    assert capsys.readouterr().err == "vestibule: mb9 is no backend of shard s1\n"


def progress(moved: int, late: int = 0, ended: float | None = None) -> dict[str, Any]:
    left = 3 - moved - late
    job = {"job": "drain mb1a", "users": 3, "waiting": max(0, left - 1), "moving": {"kicking": 1} if left else {}}
    job |= {"over": {"moved": moved, "late": late}, "unmoved": {"bob": "took too long"} if late else {}}
    earlier = {"job": "drain mb1a", "users": 9, "over": {"moved": 9}, "ended": 0.5}
    return rows(earlier, {**job, "began": 1.0, "ended": ended}, {"job": "drain mb1b"})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(screen, "pause", made.append)
    return made


def test_waiting_shows_each_change_and_who_was_not_moved(
    place: Place, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    place.start(drain=PLAN, moves=[progress(0), progress(0), progress(1), progress(2, 1, ended=9.0)])
    assert run(place, "drain", "mb1a", "--yes", "--wait") == 1
    assert pauses == [screen.LOOK_EVERY] * 3
    assert capsys.readouterr().out.splitlines() == [
        "drain mb1a: 0 of 3 users moved, 1 kicking, 2 waiting",
        "drain mb1a: 1 of 3 users moved, 1 kicking, 1 waiting",
        "drain mb1a: 2 of 3 users moved, 1 late",
        "  bob: took too long",
    ]


def test_users_whom_no_backend_can_take_are_not_moved(
    place: Place, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    place.start(drain={**PLAN, "to": {"mb1b": 2, "": 1}, "complete": False}, moves=progress(3, ended=9.0))
    assert run(place, "drain", "mb1a", "--yes", "--wait") == 1
    assert capsys.readouterr().err == "vestibule: 1 user stayed: no backend can take them\n"
    place.directors[0].says["drain"] = {**PLAN, "to": {"": 3}, "complete": False}
    assert run(place, "drain", "mb1a", "--yes", "--wait") == 1
    assert capsys.readouterr().out == (
        "drain mb1a: 3 users with 7 sessions on this node to move (users to: 3 nowhere, for none can take them); "
        "the store went away meanwhile, so there may be more\n"
    )
    assert run(place, "drain", "mb1a", "--yes") == 0


def test_when_all_are_moved_the_exit_code_is_0_and_a_program_gets_only_the_end(
    place: Place, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    place.start(drain=PLAN, moves=[progress(1), progress(3, ended=9.0)])
    assert run(place, "drain", "mb1a", "--yes", "--wait", "--json") == 0
    assert json.loads(capsys.readouterr().out)["over"] == {"moved": 3, "late": 0}


def test_a_director_that_has_forgotten_the_move_cannot_be_waited_for(
    place: Place, pauses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    place.start(drain=PLAN, moves=[progress(1), rows()])
    assert run(place, "drain", "mb1a", "--yes", "--wait") == 1
    assert "knows nothing of drain mb1a any more" in capsys.readouterr().err


def test_who_stops_waiting_does_not_stop_the_move(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(screen, "pause", interrupt)
    place.start(drain=PLAN, moves=[progress(1)])
    assert run(place, "drain", "mb1a", "--yes", "--wait") == 1
    assert "`vestibule abort 'drain mb1a'` gives it up" in capsys.readouterr().err


def test_a_move_is_given_up(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(abort={"ok": True, "job": "drain mb1a"})
    assert run(place, "abort", "drain mb1a") == 0
    assert capsys.readouterr().out == "drain mb1a is given up: who has not been moved stays\n"
    assert orders(director) == [{"ask": "abort", "job": "drain mb1a"}]


# --- admin states ---


@pytest.mark.parametrize("word", ["online", "standby"])
def test_the_operators_word_about_a_backend(place: Place, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    director = place.start(**{word: {"ok": True, "backend": "mb1a", "admin": word}})
    assert run(place, word, "mb1a") == 0
    assert capsys.readouterr().out.startswith(f"mb1a is on{'line' if word == 'online' else ' standby'}: ")
    assert orders(director) == [{"ask": word, "backend": "mb1a"}]


def test_before_a_backend_goes_offline_one_is_asked(place: Place, refusing: list[str]) -> None:
    director = place.start(backends=BACKENDS, offline={"ok": True, "backend": "mb1a", "admin": "offline"})
    assert run(place, "offline", "mb1a") == 1
    assert refusing == ["take mb1a offline? Then 3 users with 1,200 sessions have to leave it."]
    assert orders(director) == []
    assert run(place, "offline", "mb1a", "--yes") == 0
    assert orders(director) == [{"ask": "offline", "backend": "mb1a"}]


def test_a_backend_that_is_not_there_cannot_go_offline(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.start(backends=BACKENDS)
    assert run(place, "offline", "mb9", "--yes") == 1
    assert capsys.readouterr().err == "vestibule: there is no backend mb9\n"


# --- flush ---


def test_one_user_is_forgotten_without_a_question(
    place: Place, refusing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    director = place.start(flush=[{"ok": True, "flushed": 1}, {"ok": True, "flushed": 0, "forgiven": 1}])
    assert run(place, "flush", "Alice") == 0
    assert run(place, "flush", "alice") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 assignment forgotten; users with sessions stay where they are",
        "0 assignments forgotten; users with sessions stay where they are; alice may log in again without a wait",
    ]
    assert orders(director) == [{"ask": "flush", "user": "alice"}] * 2
    assert refusing == []


def test_all_are_forgotten_only_with_a_yes(
    place: Place, refusing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    director = place.start(flush={"ok": True, "job": "flush", "users": 7})
    assert run(place, "flush") == 1
    assert orders(director) == []
    assert run(place, "flush", "--yes") == 0
    assert capsys.readouterr().out.endswith("7 assignments forgotten; users with sessions stay where they are\n")


def test_a_user_who_is_not_assigned_is_exit_code_1(place: Place) -> None:
    place.start(flush=refused("alice has no assignment"))
    assert run(place, "flush", "alice") == 1
