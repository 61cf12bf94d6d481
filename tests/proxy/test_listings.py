"""The listings as an operator sees them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.listings import BACKENDS, LIMITS, MOVES, SHARDS, WHO, state, status_lines, unmoved

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.listings.time.time", lambda: NOW)


def backend(name: str, **more: Any) -> dict[str, Any]:
    row = {"backend": name, "shard": "s1", "site": "", "host": f"{name}.example", "priority": 1, "weight": 1}
    row |= {"standing": "up", "admin": "online", "view": "up", "problem": "", "since": NOW - 7200, "share": 1}
    return row | {"users": 10, "sessions": 25, "phase": "returning"} | more


@pytest.mark.parametrize(
    ("standing", "admin", "words"),
    [("up", "online", "serving"), ("up", "standby", "standby"), ("up", "offline", "offline"),
     ("out", "online", "down, out of service"), ("down", "online", "down, yet still used"),
     ("alone", "online", "unreachable from here only"), ("out", "offline", "offline, down, out of service")],
)  # fmt: skip
def test_a_backends_state_is_the_operators_word_and_what_was_measured(standing: str, admin: str, words: str) -> None:
    assert state({"standing": standing, "admin": admin}) == words


def test_backends_tell_at_a_glance_who_serves_and_who_does_not() -> None:
    rows = [
        backend("mb1b", priority=2, standing="out", since=NOW - 65, problem="connect: refused", users=0, sessions=0),
        backend("mb1a", share=0.4, away=7, phase="settling"),
        backend("mb0", shard="s0", admin="standby"),
    ]
    assert BACKENDS.lines(rows) == [
        "BACKEND  SHARD  HOST          PRIO  WEIGHT  STATE                 SINCE  USERS  SESSIONS  NEW USERS"
        "  AWAY  FAILBACK                  PROBLEM",
        "mb0      s0     mb0.example      1       1  standby                 2 h     10        25",
        "mb1a     s1     mb1a.example     1       1  serving                 2 h     10        25        40%"
        "     7  waits until it is steady",
        "mb1b     s1     mb1b.example     2       1  down, out of service  1 min      0         0           "
        "                                  connect: refused",
        "3 backends: 1 standby, 1 serving, 1 down, out of service; 20 users, 50 sessions",
    ]
    assert BACKENDS.lines([]) == ["no backends"]


def test_a_backend_in_two_shards_is_one_backend() -> None:
    lines = BACKENDS.lines([backend("mb1"), backend("mb1", shard="s2")])
    assert lines[-1] == "1 backend: 1 serving; 10 users, 25 sessions"


@pytest.mark.parametrize(
    ("row", "words"),
    [({"away": 0, "phase": "gate"}, ""), ({"away": 1, "phase": "gate"}, "waits for the sync gate"),
     ({"away": 1, "phase": "down"}, "waits until it is up"), ({"away": 1, "phase": "returning"}, "under way"),
     ({"away": 1, "phase": "down", "admin": "standby"}, "not while standby")],
)  # fmt: skip
def test_of_users_who_are_away_it_is_told_what_they_wait_for(row: dict[str, Any], words: str) -> None:
    line = BACKENDS.lines([backend("mb1", problem="x") | row])[1]
    assert line.removesuffix("  x").endswith(f"  {row['away']}  {words}" if words else "25")


def test_colours_say_good_and_bad() -> None:
    lines = BACKENDS.lines([backend("mb1"), backend("mb2", standing="out")], coloured=True)
    assert "\x1b[32mserving\x1b[0m" in lines[1]
    assert "\x1b[31mdown, out of service\x1b[0m" in lines[2]


def test_shards_have_their_backends_beside_them() -> None:
    rows = [
        {"shard": "s2", "backends": ["mb2"], "users": 1, "sessions": 1},
        {"shard": "s1", "backends": ["mb1a", "mb1b"], "users": 1200, "sessions": 3000},
    ]
    assert SHARDS.lines(rows) == [
        "SHARD  BACKENDS   USERS  SESSIONS",
        "s1     mb1a mb1b  1,200     3,000",
        "s2     mb2            1         1",
        "2 shards; 1,201 users, 3,001 sessions",
    ]


def session(user: str, **more: Any) -> dict[str, Any]:
    row = {"user": user, "protocol": "imap", "address": "192.0.2.7", "backend": "mb1a", "shard": "s1", "session": "x1"}
    return row | {"worker": 0, "began": NOW - 180, "leaving": False, "node": "front1"} | more


def test_sessions_are_in_the_order_of_users_and_the_last_line_counts_them() -> None:
    assert WHO.lines([session("bob", leaving=True), session("alice"), session("alice", began=NOW - 360)]) == [
        "USER   PROTOCOL  ADDRESS    BACKEND  SHARD  SINCE           WORKER  SESSION",
        "alice  imap      192.0.2.7  mb1a     s1     6 min                0  x1",
        "alice  imap      192.0.2.7  mb1a     s1     3 min                0  x1",
        "bob    imap      192.0.2.7  mb1a     s1     3 min  leaving       0  x1",
        "3 sessions of 2 users, 1 about to end, on front1",
    ]
    assert WHO.lines([]) == ["no sessions"]


def job(name: str, **more: Any) -> dict[str, Any]:
    row = {"job": name, "users": 10, "waiting": 4, "moving": {"kicking": 2}, "over": {"moved": 3, "late": 1}}
    return row | {"unmoved": {"bob": "took too long"}, "began": NOW - 30, "ended": None} | more


def test_moves_tell_how_far_they_are() -> None:
    rows = [job("drain mb1a"), job("move alice", waiting=0, moving={}, over={"moved": 10}, ended=NOW - 20)]
    assert MOVES.lines(rows) == [
        "MOVE        USERS  WAITING  MOVING     MOVED  NOT MOVED  BEGAN",
        "drain mb1a     10        4  2 kicking      3  1 late      30 s  under way",
        "move alice     10        0                10              30 s  over in 10 s",
        "2 moves, 1 under way with 6 users to go",
    ]
    assert MOVES.lines(rows[1:])[-1] == "1 move, none under way"
    assert MOVES.lines([]) == ["no moves"]
    assert [unmoved(row) for row in rows] == [1, 0]


def test_who_has_to_wait_comes_first() -> None:
    nothing: dict[str, Any] = {"elsewhere": 0, "most": 0, "failures": 0.0, "wait": 0.0, "limit": ""}
    rows: list[dict[str, Any]] = [
        nothing | {"user": "bob", "address": "", "sessions": 60, "elsewhere": 40, "most": 100, "limit": "user"},
        nothing | {"user": "", "address": "192.0.2.7", "sessions": 0, "failures": 9.4, "wait": 14, "limit": "penalty"},
    ]
    assert LIMITS.lines(rows) == [
        "USER  ADDRESS    SESSIONS  ELSEWHERE   OF  FAILURES  WAITS  LIMIT",
        "      192.0.2.7         0                       9.4   14 s  failed logins",
        "bob                    60         40  100                   sessions of the user",
        "2 entries, 1 with a wait",
    ]
    assert LIMITS.lines([]) == ["nobody waits, or is near a limit"]


STATUS: dict[str, Any] = {
    "node": "front1", "life": "front1/0a1b2c3d", "store": {"kind": "memory", "away": False, "since": 0, "latency": 0},
    "workers": [0, 1], "nodes": [], "users": 5, "sessions": 9, "unsure": 0, "users_on_two_backends": 0,
}  # fmt: skip


def test_the_status_of_a_node_that_is_alone() -> None:
    assert status_lines(STATUS, NOW) == [
        "node             front1, in this life front1/0a1b2c3d",
        "store            memory",
        "workers          0, 1",
        "nodes            this one only",
        "load             5 users, 9 sessions",
        "being moved      0 users",
        "away from home   0 users",
        "unsure           0 users assigned without the store",
        "on two backends  0 users",
    ]


def test_the_status_of_a_node_in_trouble() -> None:
    store = {"kind": "redis", "away": True, "since": NOW - 70, "latency": 0.001}
    nodes = [{"name": "front2", "age": 0.4}, {"name": "front1/1", "age": 9.1, "living": False}]
    trouble = {**STATUS, "store": store, "workers": [], "nodes": nodes, "unsure": 3, "users_on_two_backends": 1}
    assert status_lines(trouble, NOW)[1:] == [
        "store            redis, AWAY for 1 min: this node goes on alone",
        "workers          none is connected",
        "nodes            front1 (DEAD, silent for 9 s), front2 (heard 0 s ago)",
        "load             5 users, 9 sessions",
        "being moved      0 users",
        "away from home   0 users",
        "unsure           3 users assigned without the store",
        "on two backends  1 user: look at `vestibule who`",
    ]
    good = {**STATUS, "store": {**store, "away": False}}
    assert status_lines(good, NOW)[1] == "store            redis, answers in 1.0 ms"
