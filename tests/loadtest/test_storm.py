"""A storm against directories that do as they are told, and the orderly queue that it is compared with."""

from __future__ import annotations

import asyncio

import pytest

from ldapmap import Unavailable, WrongPassword
from loadtest.storm import Offered, Outcome, kept_waiting, orderly, storm

NAMES = ["alice", "bob"]
FEW = Offered(rate=10_000.0, seconds=0.01, patience=20.0)


async def offer(error: Exception | None, offered: Offered = FEW) -> tuple[Outcome, list[str]]:
    seen: list[str] = []

    async def login(name: str) -> None:
        seen.append(name)
        if error is not None:
            raise error

    return await storm(login, NAMES, offered, 5.0), seen


async def test_all_of_them_come_in_turn_and_are_served() -> None:
    outcome, seen = await offer(None)
    assert outcome.served == FEW.count == len(seen) == 100
    assert seen.count("alice") == seen.count("bob") == 50
    assert (outcome.early, outcome.late, outcome.wrong) == (0, 0, 0)
    assert 0 <= outcome.wait(50) <= outcome.wait(99) <= outcome.wait(100)


async def test_unavailable_within_the_patience_is_early() -> None:
    outcome, _ = await offer(Unavailable("the queue is full"))
    assert (outcome.served, outcome.early, outcome.late, outcome.wrong) == (0, 100, 0, 0)


async def test_unavailable_after_the_patience_is_late() -> None:
    outcome, _ = await offer(Unavailable("nobody was free"), Offered(10_000.0, 0.01, 0.0))
    assert (outcome.served, outcome.early, outcome.late, outcome.wrong) == (0, 0, 100, 0)


async def test_any_other_word_is_wrong() -> None:
    outcome, _ = await offer(WrongPassword("no"))
    assert (outcome.served, outcome.early, outcome.late, outcome.wrong) == (0, 0, 0, 100)


async def test_a_directory_that_never_answers_is_given_up() -> None:
    async def login(name: str) -> None:
        await asyncio.Event().wait()

    outcome = await storm(login, NAMES, Offered(10_000.0, 0.001, 0.0), 0.0)
    assert outcome.late == 10


@pytest.mark.parametrize(
    ("offered", "capacity", "served"),
    [
        (Offered(100.0, 1.0, 10.0), 1000.0, 100),
        (Offered(100.0, 1.0, 10.0), 50.0, 100),
        (Offered(2048.0, 16.0, 16.0), 512.0, 16_384),
        (Offered(2048.0, 16.0, 0.0), 512.0, 8192),
    ],
)
def test_an_orderly_queue_serves_while_there_is_patience(offered: Offered, capacity: float, served: int) -> None:
    assert orderly(offered, capacity) == served


def test_the_time_without_a_processor_only_grows() -> None:
    assert 0 <= kept_waiting() <= kept_waiting()
