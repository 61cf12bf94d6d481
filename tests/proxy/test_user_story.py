"""What somebody is told who asks at night where a user is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from ldapmap import Directory, InvalidName
from proxy import user_story
from proxy.config import load
from proxy.console import Console
from proxy.lookup import open_for_commands
from proxy.user_story import Told, ask_director, ask_directory, story
from tests.proxy.fake_director import Place, site

NOW = 1_000_000.0
TOLD = Told("alice", "s1", "mb1a", (("entry", "uid=alice"), ("user", "alice")))


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        yield made


# --- the directory ---


def test_the_directory_says_where_a_user_belongs(place: Place) -> None:
    told = ask_directory(load(place.config), "Alice")
    assert (told.user, told.shard, told.preferred, told.problem) == ("alice", "s1", "", "")
    assert ("user", "alice") in told.steps


def test_an_unknown_user_and_a_directory_that_cannot_be_opened_are_problems(place: Place) -> None:
    settings = load(place.config)
    assert ask_directory(settings, "Nobody").user == "nobody"
    assert ask_directory(settings, "nobody").problem.startswith("UnknownUser: ")
    (place.folder / "users.ldif").unlink()
    assert ask_directory(settings, "alice").problem.startswith("directory: ")


def test_a_directory_that_hangs_is_not_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_story, "DIRECTORY_SECONDS", 0.01)
    opened = open_for_commands(load(place.config))
    monkeypatch.setattr(user_story, "open_for_commands", lambda _: _hanging(opened))
    assert ask_directory(load(place.config), "alice").problem == "no answer within 0.01 s"


def _hanging(directory: Directory) -> Directory:
    async def find(*_: object) -> None:
        await asyncio.Event().wait()

    directory.find = find  # type: ignore[method-assign, assignment]
    return directory


def test_what_cannot_be_a_name_is_not_asked_for(place: Place) -> None:
    with pytest.raises(InvalidName):
        ask_directory(load(place.config), "")


def test_the_director_is_asked_with_what_the_directory_said(place: Place) -> None:
    director = place.start(explain={"ok": True, "user": "alice"})
    assert ask_director(Console(place.socket), TOLD) == {"user": "alice"}
    assert director.asked == [{"ask": "explain", "user": "alice", "shard": "s1", "preferred": "mb1a"}]


# --- the story ---


def candidate(name: str, standing: str = "up", reason: str = "") -> dict[str, Any]:
    return {"backend": name, "standing": standing, "admin": "online", "usable": not reason, "reason": reason}


def session(**more: Any) -> dict[str, Any]:
    row = {"protocol": "imap", "address": "192.0.2.7", "backend": "mb1a", "session": "x1", "began": NOW - 720}
    return row | {"leaving": False} | more


def answer(**more: Any) -> dict[str, Any]:
    record = {"backend": "mb1a", "shard": "s1", "epoch": 3, "target": "", "holds": {"front1/0a1b2c3d": 3}}
    record["pinned"] = False
    good = {"user": "alice", "shard": "s1", "record": record, "sessions": [session()]}
    good |= {"choice": {"backend": "mb1a", "why": "sticky"}, "if_failed": {"backend": "mb1b", "why": "failover"}}
    return good | {"candidates": [candidate("mb1a"), candidate("mb1b")]} | more


def told_of(given: dict[str, Any], told: Told = TOLD) -> list[str]:
    return story("Alice", told, given, NOW).as_text().splitlines()


def test_a_user_where_the_user_belongs() -> None:
    assert told_of(answer()) == [
        "entry           uid=alice",
        "user            alice",
        "is at           mb1a of shard s1, with 1 session on this node",
        "why there       of all backends of the shard it comes first for this user",
        "held by node    front1",
        "session         imap from 192.0.2.7 for 12 min, id x1",
        "the next login  goes to mb1a: is assigned there",
        "if mb1a failed  goes to mb1b: those that come first cannot be used",
        "candidate 1     mb1a is serving",
        "candidate 2     mb1b is serving",
    ]


def changed(**more: Any) -> dict[str, Any]:
    return {**answer()["record"], **more}


def test_a_user_who_is_away_from_home() -> None:
    lines = told_of(answer(candidates=[candidate("mb0", "out", "is down: connect: refused"), candidate("mb1a")]))
    assert "why there       mb0 comes first for this user, and it is down: connect: refused" in lines


def test_a_user_whose_route_has_changed() -> None:
    lines = told_of(answer(shard="s2", candidates=[candidate("mb2")]))
    assert "why there       by an earlier route: it does not belong to shard s2" in lines


def test_a_user_who_is_away_though_home_is_well() -> None:
    lines = told_of(answer(candidates=[candidate("mb0"), candidate("mb1a")]))
    why = "mb0 comes first for this user, and it is serving; failback is going to bring the user back"
    assert f"why there       {why}" in lines


def test_a_user_whom_an_operator_has_moved() -> None:
    lines = told_of(answer(candidates=[candidate("mb0"), candidate("mb1a")], record=changed(pinned=True)))
    why = "mb0 comes first for this user, but an operator has moved the user; that lasts as long as the assignment"
    assert f"why there       {why}" in lines


def test_a_user_of_whose_shard_nothing_is_known() -> None:
    lines = told_of(answer(shard="", candidates=[], sessions=[], record=changed(holds={})))
    assert lines[2:] == [
        "is at           mb1a of shard s1, with no session on this node",
        "held by node    none: no sessions; the assignment is forgotten in a while",
        "the next login  is refused, unless the directory knows a shard for the user by then",
    ]


def test_a_user_for_whom_there_is_no_backend() -> None:
    nothing = {"problem": "no backend may be used"}
    lines = told_of(answer(record=None, sessions=[session(began=0)], choice=nothing, if_failed=nothing))
    assert lines[2:5] == [
        "is at           no backend: the next login decides",
        "session         imap from 192.0.2.7 at mb1a, id x1",
        "the next login  gets no backend: no backend may be used",
    ]
    assert lines[5].startswith("candidate 1 ")


def test_a_move_under_way_and_old_sessions_that_are_being_closed() -> None:
    record = changed(target="mb1b", holds={"front1/1": 3, "front2/2": 2})
    lines = told_of(answer(record=record, sessions=[session(leaving=True), session(backend="mb0")]))
    assert lines[4:9] == [
        "held by node    front1",
        "held by node    front2, where old sessions are being closed",
        "move under way  to mb1b: new logins wait until all sessions on mb1a have ended",
        "session         imap from 192.0.2.7 for 12 min, about to end, id x1",
        "session         imap from 192.0.2.7 at mb0 for 12 min, id x1",
    ]


def test_of_many_sessions_the_first_are_told() -> None:
    lines = told_of(answer(sessions=[session()] * 1100))
    assert sum(line.startswith("session") for line in lines) == user_story.MOST_SESSIONS + 1
    assert "session         and 1,080 more" in lines


def test_a_user_who_is_nowhere_goes_where_the_choice_falls() -> None:
    lines = told_of(answer(record=None, sessions=[], choice={"backend": "mb1a", "why": "hash"}))
    assert lines[2:5] == [
        "is at           no backend: the next login decides",
        "the next login  goes to mb1a: drawn by the user's name among those of the best priority",
        "if mb1a failed  goes to mb1b: those that come first cannot be used",
    ]


def test_without_the_directory_the_director_still_knows_who_is_where() -> None:
    away = Told("alice", problem="Unavailable: no answer")
    lines = told_of(answer(), away)
    assert lines[1] == "directory       Unavailable: no answer; what follows is what the director remembers"
    assert story("Alice", away, answer(), NOW).found
    assert not story("Alice", away, answer(record=None, sessions=[]), NOW).found
