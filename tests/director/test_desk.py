"""Operators' questions and orders, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from director.desk import Desk, Refused
from director.record import Hold, Record
from director.votes import VoteSettings
from director.wire import Failed
from tests.director.world import HOME, SHARDS, World, shard

WALL = 1_700_000_000.0


class Operator:
    """Asks the first node of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world.node.core, "n0", lambda: WALL)

    def ask(self, ask: str, *, extra: Mapping[str, Any] | None = None, **question: Any) -> dict[str, Any]:
        """One answer, after which everything that follows has happened."""
        value = self.world.store.read_now(question.get("user", "")) if question.get("user") else None
        answer, wanted = self.desk.answer({"ask": ask, **question}, self.world.node.now, value=value, extra=extra)
        assert isinstance(answer, Mapping)
        self.world.node.do(wanted)
        self.world.run_dry()
        return dict(answer)

    def rows(self, ask: str, **question: Any) -> list[dict[str, Any]]:
        answer, wanted = self.desk.answer({"ask": ask, **question}, self.world.node.now)
        assert not isinstance(answer, Mapping)
        assert not wanted
        return [dict(row) for row in answer]


def only(rows: Sequence[dict[str, Any]], **which: Any) -> dict[str, Any]:
    (row,) = (row for row in rows if which.items() <= row.items())
    return row


# --- listings --------------------------------------------------------------------------------------------------------


def test_backends_are_listed_with_who_is_there_and_since_when_they_are_what_they_are() -> None:
    world = World()
    world.wait(2.0)
    world.login("alice")
    world.login("alice")
    rows = Operator(world).rows("backends")
    assert [row["backend"] for row in rows] == ["a", "b", "c", "d"]
    row = only(rows, backend="a")
    assert (row["users"], row["sessions"], row["standing"], row["admin"]) == (1, 2, "up", "online")
    assert (row["since"], row["phase"], row["away"], row["host"]) == (WALL - 2.0, "settling", 0, "a.example")


def test_a_backend_that_is_down_is_listed_with_what_is_wrong() -> None:
    world = World()
    world.kill_backend("a")
    world.wait(4.0)
    world.login("alice")
    row = only(Operator(world).rows("backends"), backend="a")
    assert (row["standing"], row["view"], row["problem"], row["away"]) == ("out", "down", "refused", 1)


def test_shards_are_listed_with_their_backends_and_users() -> None:
    world = World()
    world.login("alice")
    assert Operator(world).rows("shards") == [
        {"shard": "s1", "backends": ["a", "b"], "users": 1, "sessions": 1},
        {"shard": "s2", "backends": ["c", "d"], "users": 0, "sessions": 0},
    ]


def test_a_session_is_listed_with_everything_that_is_known_of_it() -> None:
    world = World()
    world.login("alice", worker=1)
    (row,) = Operator(world).rows("who")
    assert row == {
        "user": "alice",
        "protocol": "imap",
        "address": HOME,
        "backend": "a",
        "shard": "s1",
        "session": "s1",
        "worker": 1,
        "node": "n0",
        "began": 0.0,
        "leaving": False,
    }


@pytest.mark.parametrize(
    ("target", "users"),
    [
        ("", ["alice", "bob", "cyd"]),
        ("alice", ["alice"]),
        ("a", ["alice", "bob"]),
        ("198.51.100.7", ["bob"]),
        ("198.51.100.0/24", ["bob"]),
        ("2001:db8::/32", ["cyd"]),
        ("nobody", []),
    ],
)
def test_sessions_are_found_by_user_backend_address_and_network(target: str, users: list[str]) -> None:
    world = World()
    world.login("alice")
    world.login("bob", address="198.51.100.7")
    world.login("cyd", "s2", address="2001:db8::7")
    world.login("dan", "s2", address="") if not users else None
    assert [row["user"] for row in Operator(world).rows("who", target=target)] == users


def test_sessions_that_have_been_told_to_end_are_leaving_and_a_worker_that_has_gone_has_no_number() -> None:
    world = World()
    world.node.workers[0].stubborn = True
    world.login("alice")
    operator = Operator(world)
    operator.ask("kick", target="alice")
    assert operator.rows("who")[0]["leaving"]
    world.node.disconnect(world.node.workers[0])
    assert operator.rows("who")[0]["worker"] == -1


def test_limits_are_listed() -> None:
    world = World()
    world.node.core.said(world.node.workers[0].name, Failed(1, "alice", HOME), world.node.now)
    rows = Operator(world).rows("limits", target="alice")
    assert rows[0]["user"] == "alice"


def test_the_status_says_how_the_node_is_and_what_else_is_known() -> None:
    world = World(2)
    world.wait(1.0)
    world.login("alice")
    answer = Operator(world).ask("status", extra={"store": {"kind": "memory"}})
    assert answer["node"] == "n0"
    assert answer["life"] == "n0/1"
    assert answer["workers"] == [0, 1]
    assert [(node["name"], node["living"]) for node in answer["nodes"]] == [("n0/1", True), ("n1/1", True)]
    assert (answer["users"], answer["sessions"], answer["unsure"], answer["users_on_two_backends"]) == (1, 1, 0, 0)
    assert answer["store"] == {"kind": "memory"}


# --- orders ----------------------------------------------------------------------------------------------------------


def test_a_kick_says_how_many_sessions_there_were() -> None:
    world = World()
    alice = world.login("alice")
    assert Operator(world).ask("kick", target="alice") == {"kicked": 1, "node": "n0"}
    assert alice.kicked == "kicked"


def test_a_move_says_what_it_does_and_a_dry_one_does_nothing() -> None:
    world = World()
    alice = world.login("alice")
    operator = Operator(world)
    plan = {"job": "move alice", "users": 1, "sessions": 1, "to": {"b": 1}}
    assert operator.ask("move", user="alice", backend="b", dry=True) == plan
    assert alice.kicked == ""
    assert operator.ask("move", user="alice", backend="b") == plan
    assert (alice.kicked, world.assigned("alice")) == ("moved", "b")
    (job,) = operator.rows("moves")
    assert (job["job"], job["over"], job["began"], job["ended"]) == ("move alice", {"moved": 1}, WALL, WALL)
    assert operator.ask("move", user="alice", backend="b", dry=True)["users"] == 0


def test_a_move_to_another_shard_has_to_be_forced() -> None:
    world = World()
    world.logout(world.login("alice"))
    operator = Operator(world)
    with pytest.raises(Refused, match="belongs to shard s1"):
        operator.ask("move", user="alice", backend="c")
    operator.ask("move", user="alice", backend="c", force=True)
    assert world.assigned("alice") == "c"


def test_nobody_is_moved_to_a_backend_that_may_not_be_used() -> None:
    world = World()
    world.say("b", "offline")
    with pytest.raises(Refused, match="b is offline"):
        Operator(world).ask("move", user="alice", backend="b")


def test_a_move_under_way_can_be_aborted_and_nothing_else() -> None:
    world = World()
    world.node.workers[0].stubborn = True
    world.login("alice")
    operator = Operator(world)
    operator.ask("move", user="alice", backend="b")
    (job,) = operator.rows("moves")
    assert (job["users"], job["moving"], job["ended"]) == (1, {"kicking": 1}, None)
    assert operator.ask("abort", job="move alice") == {"job": "move alice"}
    with pytest.raises(Refused, match="no job 'move alice' is under way"):
        operator.ask("abort", job="move alice")


def test_a_drain_is_answered_when_everybody_has_been_counted() -> None:
    world = World()
    world.login("alice")
    desk = Desk(world.node.core, "n0", lambda: WALL)
    answer, wanted = desk.answer({"ask": "drain", "backend": "a", "dry": True}, world.node.now)
    assert answer == {"pending": "drain a"}
    assert desk.outcome("drain a") is None
    world.node.do(wanted)
    world.run_dry()
    outcome = desk.outcome("drain a")
    assert outcome is not None
    assert (outcome["users"], outcome["sessions"], outcome["to"], outcome["complete"]) == (1, 1, {"b": 1}, True)
    assert desk.outcome("something else") == {"job": "something else"}


@pytest.mark.parametrize("state", ["standby", "offline", "online"])
def test_a_backend_is_what_an_operator_says(state: str) -> None:
    world = World()
    assert Operator(world).ask(state, backend="a") == {"backend": "a", "admin": state}
    assert world.node.core.fleet.admin_state("a") == state


def test_flush_forgets_a_user_or_all_without_sessions() -> None:
    world = World()
    for user in ("alice", "bob"):
        world.part(world.login(user))
    operator = Operator(world)
    assert operator.ask("flush", user="alice") == {"flushed": 1}
    assert world.record("alice") is None
    assert operator.ask("flush") == {"pending": "flush"}
    outcome = operator.desk.outcome("flush")
    assert outcome is not None
    assert outcome["users"] == 1
    assert world.record("bob") is None


def test_flush_refuses_who_has_sessions_or_no_assignment_but_forgives_who_failed() -> None:
    world = World()
    world.login("alice")
    operator = Operator(world)
    with pytest.raises(Refused, match="alice has sessions"):
        operator.ask("flush", user="alice")
    with pytest.raises(Refused, match="bob has no assignment"):
        operator.ask("flush", user="bob")
    for number in range(5):
        world.node.core.said(world.node.workers[0].name, Failed(number, "bob", HOME), world.node.now)
    assert operator.ask("flush", user="bob") == {"flushed": 0, "forgiven": 1}


def test_flush_forgets_an_assignment_and_forgives_at_once() -> None:
    world = World()
    world.logout(world.login("alice"))
    for number in range(5):
        world.node.core.said(world.node.workers[0].name, Failed(number, "alice", HOME), world.node.now)
    assert Operator(world).ask("flush", user="alice") == {"flushed": 1, "forgiven": 1}


@pytest.mark.parametrize(
    "question",
    [
        {"ask": "move", "user": "alice", "backend": "b"},
        {"ask": "drain", "backend": "a"},
        {"ask": "offline", "backend": "a"},
        {"ask": "flush", "user": ""},
    ],
    ids=lambda question: question["ask"],
)
def test_nothing_is_changed_while_the_store_is_away(question: dict[str, str]) -> None:
    world = World()
    world.node.cut = True
    world.wait(0.5)
    with pytest.raises(Refused, match="the store is away"):
        Desk(world.node.core, "n0", lambda: WALL).answer(question, world.node.now)


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ({}, "'ask' is missing"),
        ({"ask": 7}, "'ask' is missing, or no text"),
        ({"ask": "dance"}, "use one of backends"),
        ({"ask": "who", "target": 7}, "'target' is missing"),
        ({"ask": "kick"}, "'target' is missing"),
        ({"ask": "kick", "target": ""}, "'target' is missing"),
        ({"ask": "move", "user": "alice", "backend": "z"}, "no backend is called 'z'"),
        ({"ask": "explain"}, "'user' is missing"),
    ],
)
def test_bad_questions_are_refused(question: dict[str, Any], problem: str) -> None:
    world = World()
    with pytest.raises(Refused, match=problem):
        Desk(world.node.core, "n0", lambda: WALL).answer(question, world.node.now)


def test_a_record_that_cannot_be_read_is_no_answer() -> None:
    world = World()
    with pytest.raises(Refused, match="a record that is none"):
        Desk(world.node.core, "n0", lambda: WALL).answer({"ask": "explain", "user": "alice"}, 0.0, value=b"?")


# --- explanations ----------------------------------------------------------------------------------------------------


def test_a_user_who_is_nowhere_is_explained_by_the_choice() -> None:
    answer = Operator(World()).ask("explain", user="alice", shard="s1")
    assert (answer["record"], answer["sessions"], answer["shard"]) == (None, [], "s1")
    assert answer["choice"] == {"backend": "a", "why": "priority"}
    assert answer["if_failed"] == {"backend": "b", "why": "failover"}
    assert [one["backend"] for one in answer["candidates"]] == ["a", "b"]
    assert answer["text"] == [
        "alice is not assigned to any backend.",
        "A login now goes to a, because it goes first.",
        "If that failed, logins would go to b.",
    ]


def test_a_user_with_sessions_is_explained_by_the_record_and_what_the_directory_said() -> None:
    world = World()
    world.login("cyd", "s2", preferred="d")
    answer = Operator(world).ask("explain", user="cyd")
    record = {"backend": "d", "shard": "s2", "epoch": 1, "target": "", "pinned": False, "holds": {"n0/1": 1}}
    assert answer["record"] == record
    assert (answer["preferred"], len(answer["sessions"])) == ("d", 1)
    assert answer["choice"] == {"backend": "d", "why": "sticky"}
    assert "Sessions on n0 hold the user there, or did so until some seconds ago." in answer["text"]


def test_a_move_under_way_is_explained() -> None:
    world = World()
    world.put("alice", Record("a", "s1", 2, "b", (Hold("n9/1", 2), Hold("n8/1", 2)), "s1"))
    text = Operator(world).ask("explain", user="alice")["text"]
    assert "A move to b is under way: new logins wait until the sessions have ended." in text
    assert "Sessions on n9, n8 hold the user there, or did so until some seconds ago." in text


def test_a_user_whose_backend_is_offline_is_explained_with_the_reason() -> None:
    world = World()
    world.logout(world.login("alice"))
    world.put("bob", Record("a", "s1", 1))
    world.node.core.fleet.admin({"a": "offline"}, world.node.now)
    answer = Operator(world).ask("explain", user="bob")
    assert answer["choice"] == {"backend": "b", "why": "failover"}
    assert answer["if_failed"] == {"problem": "no backend may be used"}
    assert "If that failed, logins would be told to come back later." in answer["text"]
    assert "a is offline by an operator's word." in answer["text"]
    assert "No session holds the user there; the assignment ends by itself." in answer["text"]


def test_a_login_that_would_be_refused_is_explained() -> None:
    world = World(shards=[shard("s1", "a")], votes=VoteSettings(max_ejected_percent=100))
    world.kill_backend("a")
    world.wait(4.0)
    answer = Operator(world).ask("explain", user="alice", shard="s1")
    assert answer["choice"] == answer["if_failed"] == {"problem": "no backend may be used"}
    assert "A login now is told to come back later: no backend may be used." in answer["text"]


def test_a_shard_that_nobody_knows_is_explained_too() -> None:
    answer = Operator(World(shards=SHARDS)).ask("explain", user="alice", shard="s9")
    assert answer["choice"] == {"problem": "no shard is called 's9'"}
    assert (answer["shard"], answer["candidates"]) == ("", [])
