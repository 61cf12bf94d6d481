"""Who is connected, and whether all have said what they have."""

from __future__ import annotations

from director.workers import GATHERING, PATIENCE, Workers


def test_logins_begin_when_all_workers_have_announced() -> None:
    workers = Workers(2, 0.0)
    workers.joined("v", 0, ())
    workers.joined("w", 1, ())
    workers.complete("v")
    assert not workers.may_open(0.1)
    workers.complete("w")
    assert workers.may_open(0.1)
    workers.open()
    assert workers.are_open
    assert not workers.may_open(0.2)


def test_logins_begin_at_last_without_those_who_do_not_come() -> None:
    workers = Workers(1, 10.0)
    assert not workers.may_open(10.0 + GATHERING - 0.1)
    assert not workers.are_open
    assert workers.may_open(10.0 + GATHERING)


def test_leases_that_a_worker_does_not_announce_again_are_over() -> None:
    workers = Workers(1, 0.0)
    workers.joined("w", 0, [1, 2, 3])
    workers.announced("w", 2)
    workers.announced("v", 1)
    assert workers.complete("w") == {1, 3}
    assert workers.complete("w") == frozenset()


def test_who_leaves_is_gone_after_a_while_once() -> None:
    workers = Workers(1, 0.0)
    workers.joined("w", 0, ())
    workers.left("w", 1.0)
    assert not workers.slots
    assert workers.gone(1.0 + PATIENCE - 0.1) == []
    assert workers.gone(1.0 + PATIENCE) == ["w"]
    assert workers.gone(9.0) == []


def test_who_comes_back_in_time_has_not_left() -> None:
    workers = Workers(1, 0.0)
    workers.left("w", 1.0)
    workers.joined("w", 0, ())
    assert workers.gone(9.0) == []
    assert workers.slots == {"w": 0}
