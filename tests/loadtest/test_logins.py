"""Logins in flight, and what they took."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest

from loadtest.logins import spend, spend_for


async def test_everybody_logs_in_once_and_never_more_than_allowed_at_a_time() -> None:
    now, most, seen = 0, 0, []

    async def login(name: str) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        seen.append(name)
        now -= 1

    names = [f"user{number}" for number in range(20)]
    spent = await spend(login, names, 3)
    assert sorted(seen) == sorted(names)
    assert (spent.count, most) == (20, 3)
    assert spent.rate > 0
    assert spent.cost >= 0


async def test_a_login_that_fails_ends_the_measurement() -> None:
    async def login(name: str) -> None:
        raise RuntimeError(name)

    with pytest.raises(ExceptionGroup):
        await spend(login, ["alice"])


async def test_it_goes_on_until_the_time_is_over() -> None:
    async def login(name: str) -> None:
        await asyncio.sleep(0)

    assert (await spend_for(0.01, login, repeat("alice"))).wall >= 0.01


async def test_it_ends_with_the_names() -> None:
    async def login(name: str) -> None:
        await asyncio.sleep(0)

    assert (await spend_for(60.0, login, ["alice", "bob"])).count == 2
