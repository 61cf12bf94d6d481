"""What a login costs the client of a directory: the entry found, the password verified, over kept connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ldapmap import Directory
from loadtest.asking import Login, verification, whole_login
from loadtest.figures import Figure

IN_FLIGHT = 8
"""Logins at the same time: as many as there are connections for passwords by default."""

ROUNDS = 3
"""Rounds of logins, of which the cheapest counts: the others were disturbed."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a number of logins took: seconds on the clock, and of this process's processor time."""

    count: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Logins per second on the clock."""
        return self.count / self.wall

    @property
    def cost(self) -> float:
        """Microseconds of processor time of one login."""
        return self.cpu / self.count * 1e6


async def login_figures(directory: Directory, names: Sequence[str]) -> list[Figure]:
    """A login by search and bind, and a bind alone; the directory is started, and a server without a mirror."""
    login = whole_login(directory)
    entries = {name: await directory.find(name) for name in set(names)}
    both = await cheapest(login, names)
    bind = await cheapest(verification(directory, entries), names)
    how = f"{len(names)} logins, {IN_FLIGHT} in flight, kept LDAPS, {{SSHA}}; least of {ROUNDS} rounds"
    return [
        Figure("login, search and bind", both.cost, "µs CPU", "<= 70", how),
        Figure("login, search and bind: rate", both.rate, "/s", "", "the same; bounded by slapd beside it"),
        Figure("bind alone", bind.cost, "µs CPU", "<= 40", "the same, entries found before"),
        Figure("bind alone: rate", bind.rate, "/s", "", "the same; bounded by slapd beside it"),
    ]


async def mirrored_login_figures(directory: Directory, names: Sequence[str]) -> list[Figure]:
    """A login by lookup and bind; the directory is started and has a mirror."""
    spent = await cheapest(whole_login(directory), names)
    how = f"{len(names)} logins, {IN_FLIGHT} in flight, kept LDAPS, {{SSHA}}; least of {ROUNDS} rounds"
    return [
        Figure("login, mirror and bind", spent.cost, "µs CPU", "<= 40", how),
        Figure("login, mirror and bind: rate", spent.rate, "/s", "", "the same; bounded by slapd beside it"),
    ]


async def cheapest(login: Login, names: Sequence[str]) -> Spent:
    """The round that took the least processor time, after a tenth of one to open connections and warm the server."""
    await spend(login, names[: len(names) // 10 + 1])
    return min([await spend(login, names) for _ in range(ROUNDS)], key=lambda spent: spent.cpu)


async def spend(login: Login, names: Iterable[str], in_flight: int = IN_FLIGHT) -> Spent:
    """Log in everybody in `names`, so many at a time, and tell what it took."""
    shared, done = iter(names), [0] * in_flight
    wall, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for place in range(in_flight):
            group.create_task(_one_after_the_other(login, shared, done, place))
    return Spent(sum(done), time.perf_counter() - wall, time.process_time() - cpu)


async def spend_for(seconds: float, login: Login, names: Iterable[str], in_flight: int = IN_FLIGHT) -> Spent:
    """The same until the time is over or there are no more names."""
    end = time.perf_counter() + seconds
    return await spend(login, _until(end, names), in_flight)


async def _one_after_the_other(login: Login, names: Iterator[str], done: list[int], place: int) -> None:
    for name in names:
        await login(name)
        done[place] += 1


def _until(end: float, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if time.perf_counter() > end:
            return
        yield name
