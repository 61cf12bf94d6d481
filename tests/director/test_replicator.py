"""A replicator's three answers are judged together."""

import json
from typing import Any

import pytest

from director.replicator import Judgement, Unreadable, has_sessions, judge


def answer(rows: list[Any]) -> bytes:
    return json.dumps([["doveadmResponse", rows, ""]]).encode()


def user(
    name: str, *, priority: str = "none", fast: str = "00:00:03", success: str = "00:00:03", failed: str = "-"
) -> Any:
    return {
        "username": name,
        "priority": priority,
        "fast sync": fast,
        "full sync": "01:00:00",
        "success sync": success,
        "failed": failed,
    }


def sync(name: str = "", status: str = "Not connected") -> Any:
    return {"username": name, "type": "incremental", "status": status}


IDLE = answer([sync(), sync()])
HUNG = answer([sync(), sync("ann", "Waiting for dsync to finish")])
NONE_FAILED = answer([{"field": "Queued 'failed' requests", "value": "0"}, {"field": "Total", "value": "9"}])


def problem(*users: Any, syncs: bytes = IDLE, since: float = 10.0, max_lag: float = 5.0) -> str:
    return judge(answer(list(users)), syncs, NONE_FAILED, since=since, max_lag=max_lag).problem


def test_all_is_well_when_everybody_was_synchronised_since() -> None:
    assert problem(user("ann"), user("bob", fast="00:00:00", success="00:00:00")) == ""


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (user("ann", failed="y"), "failed"),
        (user("ann", priority="low"), "waiting"),
        (user("ann", priority="sync"), "waiting"),
        (user("ann", success="-"), "not synchronised since"),
        (user("ann", success="00:00:12"), "not synchronised since"),
        (user("ann", success="26:00:00"), "not synchronised since"),
    ],
)
def test_one_who_is_behind_is_enough(row: Any, why: str) -> None:
    assert problem(user("bob"), row) == f"1 of 2 users are behind, such as ann ({why})"


def test_a_success_may_look_a_second_older_than_it_is() -> None:
    assert problem(user("ann", success="00:00:11"), since=10.2) == ""


def test_a_hung_partner_shows_at_the_dsync_process_only() -> None:
    stuck = user("ann", fast="00:00:14", success="00:00:20")
    assert problem(stuck, since=100) == ""
    assert problem(stuck, syncs=HUNG, since=100) == "1 of 1 users are behind, such as ann (being synchronised)"


def test_who_has_just_begun_to_be_synchronised_is_not_behind_yet() -> None:
    changing = user("ann", fast="00:00:01", success="00:00:02")
    assert problem(changing, syncs=HUNG) == ""
    assert "ann" in problem(changing, syncs=HUNG, max_lag=1)
    assert "ann" in problem(user("ann", fast="-"), syncs=HUNG, max_lag=0)


def test_a_dsync_process_that_waits_for_its_handshake_is_busy() -> None:
    assert "ann" in problem(user("ann", fast="00:00:09"), syncs=answer([sync("ann", "Waiting for handshake")]))


def test_what_the_partner_has_synchronised_is_not_under_way_here() -> None:
    assert problem(user("ann", fast="00:00:01", success="00:00:08")) == ""


def test_a_synchronisation_that_fails_between_the_answers_is_seen() -> None:
    failures = answer(
        [{"field": "Queued 'failed' requests", "value": "1"}, {"field": "Waiting 'failed' requests", "value": "2"}]
    )
    assert judge(answer([user("ann")]), IDLE, failures, since=10, max_lag=5) == Judgement("3 users have just failed")


def test_of_many_only_a_few_are_named() -> None:
    text = problem(*(user(f"user{number}", failed="y") for number in range(9)))
    assert text == "9 of 9 users are behind, such as user0 (failed), user1 (failed), user2 (failed)"


def test_a_replicator_without_users_knows_nothing() -> None:
    assert problem() == "the replicator knows no users"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (b'[["error",{"type":"exitCode", "exitCode":75},""]]', "doveadm has failed: exitCode 75"),
        (b'[["error",{"type":"unknownMethod"},""]]', "doveadm has failed: unknownMethod 0"),
        (b"<html>", "the answer is not doveadm's"),
        (b"[]", "the answer is not doveadm's"),
        (b"{}", "the answer is not doveadm's"),
        (b'[["error",7,""]]', "the answer is not doveadm's"),
        (answer([{"username": "ann"}]), "the answer is not a replicator's"),
        (answer([user("ann", success="soon")]), "the answer is not a replicator's"),
    ],
)
def test_anything_else_is_unreadable(status: bytes, text: str) -> None:
    with pytest.raises(Unreadable, match=text):
        judge(status, IDLE, NONE_FAILED, since=10, max_lag=5)


def test_a_number_that_is_none_is_unreadable() -> None:
    failures = answer([{"field": "Queued 'failed' requests", "value": "many"}])
    with pytest.raises(Unreadable):
        judge(answer([user("ann")]), IDLE, failures, since=10, max_lag=5)


def test_who_has_sessions_is_listed_in_any_spelling() -> None:
    who = answer([{"username": "Ann@Example", "connections": "2", "service": "imap", "pids": "(1 2)", "ips": "()"}])
    assert has_sessions("ann@example", who)
    assert not has_sessions("bob@example", who)
    assert not has_sessions("ann@example", answer([]))


def test_a_list_of_sessions_that_is_none_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="no list of sessions"):
        has_sessions("ann", answer([{"user": "ann"}]))


def test_who_has_failed_or_was_forgotten_is_stuck() -> None:
    status = answer(
        [
            user("ann", failed="y"),
            user("bob", success="-"),
            user("cid", priority="low", failed="y"),
            user("dan"),
            user("eve", success="00:10:00"),
            user("fay", failed="y"),
        ]
    )
    syncs = answer([sync("fay", "Waiting for dsync to finish")])
    judgement = judge(status, syncs, NONE_FAILED, since=10, max_lag=5)
    assert judgement.stuck == ("ann", "bob", "eve")
    assert judgement.problem.startswith("5 of 6 users are behind, such as ann (failed), bob (not synchronised since)")
