"""Who has sessions here, by user, by backend and by worker; nothing of anybody stays who has left."""

from __future__ import annotations

import pytest

from director.record import Hold, Record
from director.roster import Lease, Roster, User, Waiter

RECORD = Record("a", "s1", 1, holds=(Hold("n", 1),))


def lease(number: int, user: str = "alice", backend: str = "a", worker: str = "w") -> Lease:
    return Lease((worker, number), user, backend, "s1", 1, "192.0.2.1", "imap", f"s{number}", 0.0)


def waiter(number: int) -> Waiter:
    return Waiter(("w", number), "192.0.2.1", "imap", f"s{number}", 0.0, "", 0.0)


def alice(*leases: Lease) -> tuple[Roster, User]:
    roster = Roster()
    user = roster.user("alice", known=True)
    for one in leases:
        roster.add(user, one)
    return roster, user


def test_leases_are_found_by_key_by_backend_and_by_worker() -> None:
    roster, user = alice(lease(1), lease(2, backend="b", worker="v"))
    assert roster.find(("w", 1)) is user
    assert roster.find(("w", 2)) is roster.find(("x", 1)) is None
    assert roster.at == {"a": {"alice": user}, "b": {"alice": user}}
    assert roster.of_worker("v") == [(user, ("v", 2))]
    assert [one.key for one in roster.leases()] == [("w", 1), ("v", 2)]
    assert roster.sessions == {"a": 1, "b": 1}


def test_a_user_is_on_a_backend_until_the_last_lease_there_ends() -> None:
    roster, user = alice(lease(1), lease(2))
    assert roster.remove(user, ("w", 1)) is not None
    assert "alice" in roster.at["a"]
    assert roster.remove(user, ("w", 2)) is not None
    assert "alice" not in roster.at["a"]
    assert roster.remove(user, ("w", 2)) is None
    assert user.idle


def test_who_waits_is_known_until_the_last_has_an_answer() -> None:
    roster, user = alice()
    roster.wait(user, waiter(1))
    roster.wait(user, waiter(2))
    assert not user.idle
    assert roster.remove(user, ("w", 1)) is None
    assert roster.waiting == {"alice": user}
    roster.remove(user, ("w", 2))
    assert not roster.waiting


def test_a_user_is_made_once() -> None:
    roster, user = alice()
    assert roster.user("alice", known=False) is user
    assert roster.arriving("alice", known=False) is user
    assert user.known


def test_who_has_left_lately_is_remembered_with_what_the_store_has() -> None:
    roster, user = alice()
    roster.remember(user)
    assert not roster.recent
    user.record, user.raw = RECORD, RECORD.encode()
    roster.forget(user)
    roster.remember(user)
    again = roster.arriving("alice", known=False)
    assert (again.record, again.raw, again.known) == (RECORD, RECORD.encode(), True)
    assert not roster.recent


def test_who_lingers_is_not_present_and_the_first_to_leave_is_the_first_to_be_given_up() -> None:
    roster = Roster()
    for number in range(3):
        assert roster.linger(roster.user(str(number), known=True), number + 1.0)
    assert (len(roster.users), roster.present) == (3, 0)
    assert [user.name for user in roster.lingered(2.0, 9)] == ["0", "1"]
    assert [user.name for user in roster.lingered(9.0, 2)] == ["0", "1"]
    roster.stay(roster.users["0"])
    assert roster.has("0")
    assert not roster.has("1")
    roster.forget(roster.users["1"])
    assert [user.name for user in roster.lingered(9.0, 9)] == ["2"]
    assert roster.present == 1


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("director.roster._REMEMBERED", 2)
    roster = Roster()
    for number in range(3):
        user = User(str(number), known=True)
        user.record, user.raw = RECORD, b""
        roster.remember(user)
    assert list(roster.recent) == ["1", "2"]


def test_a_user_on_two_backends_is_noticed_until_that_is_over() -> None:
    roster, user = alice(lease(1), lease(2, backend="b"))
    user.record = RECORD
    roster.judge(user)
    assert roster.split == {"alice"}
    roster.remove(user, ("w", 2))
    roster.judge(user)
    assert not roster.split


def test_a_session_beside_a_hold_on_another_backend_counts_as_two() -> None:
    roster, user = alice(lease(1, backend="b"))
    user.record = RECORD
    roster.judge(user)
    assert user.split
    user.record = RECORD._replace(holds=())
    roster.judge(user)
    assert not user.split


def test_a_user_without_a_record_is_where_the_sessions_are() -> None:
    roster, user = alice(lease(1))
    roster.judge(user)
    assert not user.split


def test_nothing_stays_of_who_is_forgotten() -> None:
    roster, user = alice(lease(1), lease(2, backend="b"))
    user.record = RECORD
    roster.judge(user)
    roster.unsure.add("alice")
    for _, key in roster.of_worker("w"):
        roster.remove(user, key)
    roster.forget(user)
    assert not roster.users
    assert not roster.split
    assert not roster.unsure
    assert not any(roster.where.values())
