"""Connections of one server: they are opened one after the other, handed on in order, and never lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from ldapmap.client.deadlines import Deadlines
from ldapmap.client.pool import BindPool, SearchPool
from ldapmap.client.turns import Turns
from ldapmap.client.window import Window
from ldapmap.errors import ServerFault


class Wire:
    """A connection that does nothing but be open or closed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Site:
    """A server whose connections open, or fail to, when the test says so."""

    def __init__(self, deadlines: Deadlines) -> None:
        self.attempts: list[asyncio.Future[Any]] = []
        self.turns = Turns[Any]("ldap://a:389", 100, deadlines, lambda seconds: None)

    async def attempt(self) -> Any:
        self.attempts.append(asyncio.get_running_loop().create_future())
        return await self.attempts[-1]

    async def open(self) -> Wire:
        """The attempt in progress succeeds."""
        await settled()
        wire = Wire(len(self.attempts))
        self.attempts[-1].set_result(wire)
        await settled()
        return wire

    async def fail(self) -> None:
        """The attempt in progress fails."""
        await settled()
        self.attempts[-1].set_exception(ServerFault("refused"))
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def deadlines() -> AsyncIterator[Deadlines]:
    deadlines = Deadlines(5.0)
    yield deadlines
    deadlines.close()


@pytest.fixture
async def site(deadlines: Deadlines) -> Site:
    return Site(deadlines)


@pytest.fixture
async def binds(site: Site) -> AsyncIterator[BindPool]:
    pool = BindPool(2, site.turns, site.attempt)
    yield pool
    await pool.close()


def waiter(pool: BindPool | SearchPool) -> "asyncio.Task[Any]":
    async def wait() -> Any:
        return pool.take() or await pool.wait()

    return asyncio.ensure_future(wait())


# --- binds ---


async def test_connections_are_opened_one_after_the_other_while_somebody_waits(site: Site, binds: BindPool) -> None:
    tasks = [waiter(binds) for _ in range(4)]
    await settled()
    assert (len(site.attempts), binds.waiting) == (1, 4)
    first = await site.open()
    assert await tasks[0] is cast(Any, first)
    assert len(site.attempts) == 2
    second = await site.open()
    assert await tasks[1] is cast(Any, second)
    assert (len(site.attempts), binds.open, binds.busy, binds.waiting) == (2, 2, 2, 2)
    binds.give_back(cast(Any, second))
    binds.give_back(cast(Any, first))
    assert [await task for task in tasks[2:]] == [second, first]
    assert len(site.attempts) == 2


async def test_a_free_connection_is_taken_at_once_and_none_is_opened(site: Site, binds: BindPool) -> None:
    task = waiter(binds)
    wire = cast(Any, await site.open())
    binds.give_back(await task)
    assert (binds.open, binds.busy) == (1, 0)
    assert binds.take() is wire
    assert binds.take() is None
    assert len(site.attempts) == 1


async def test_who_waits_for_a_new_connection_takes_an_old_one_that_becomes_free(site: Site, binds: BindPool) -> None:
    first = waiter(binds)
    wire = cast(Any, await site.open())
    await first
    second = waiter(binds)
    await settled()
    assert len(site.attempts) == 2
    binds.give_back(wire)
    assert await second is wire
    await site.open()  # it is kept for the next
    assert (binds.open, binds.busy) == (2, 1)


async def test_a_connection_that_was_lost_while_idle_is_replaced(site: Site, binds: BindPool) -> None:
    task = waiter(binds)
    wire = cast(Any, await site.open())
    binds.give_back(await task)
    wire.closed = True
    assert (binds.open, binds.busy) == (0, 0)
    task = waiter(binds)
    assert await site.open() is await task


async def test_the_place_of_a_connection_that_was_lost_in_use_is_free_for_a_new_one(
    site: Site, binds: BindPool
) -> None:
    tasks = [waiter(binds) for _ in range(3)]
    wires = [cast(Any, await site.open()), cast(Any, await site.open())]
    wires[0].closed = True
    binds.give_back(wires[0])
    assert await site.open() is await tasks[2]


async def test_when_nothing_is_open_a_failed_attempt_is_the_answer_to_all(site: Site, binds: BindPool) -> None:
    tasks = [waiter(binds) for _ in range(3)]
    await site.fail()
    for task in tasks:
        with pytest.raises(ServerFault, match="refused"):
            await task
    assert len(site.attempts) == 1
    task = waiter(binds)  # nobody is refused because of what others have met
    assert await site.open() is await task


async def test_when_some_are_open_a_failed_attempt_only_means_to_wait_for_these(site: Site, binds: BindPool) -> None:
    first, second = waiter(binds), waiter(binds)
    wire = cast(Any, await site.open())
    await site.fail()
    assert await first is wire
    assert not second.done()
    third = waiter(binds)
    await settled()
    assert len(site.attempts) == 2  # and the next attempt has time
    binds.give_back(wire)
    assert await second is wire
    wire.closed = True
    binds.give_back(wire)
    assert await site.open() is await third  # but not if nothing else is left


async def test_a_login_that_leaves_takes_no_connection_with_it(site: Site, binds: BindPool) -> None:
    leaving, staying = waiter(binds), waiter(binds)
    await settled()
    leaving.cancel()
    assert await site.open() is await staying
    third = waiter(binds)
    await settled()
    wire = Wire(2)
    site.attempts[-1].set_result(wire)
    binds._opened(cast(Any, wire))
    third.cancel()  # after it was given the connection, and before it could take it
    await settled()
    assert third.cancelled()
    assert binds.take() is cast(Any, wire)


async def test_binds_are_turned_away_together(site: Site, binds: BindPool) -> None:
    tasks = [waiter(binds) for _ in range(3)]
    await settled()
    binds.turn_away(ServerFault("ask another"))
    for task in tasks:
        with pytest.raises(ServerFault, match="ask another"):
            await task


async def test_closing_ends_those_who_wait_and_those_who_come(site: Site, binds: BindPool) -> None:
    tasks = [waiter(binds) for _ in range(3)]
    wire = await site.open()
    await binds.close()
    assert wire.closed
    await tasks[0]
    tasks.append(waiter(binds))
    for task in tasks[1:]:
        with pytest.raises(ServerFault, match="closed by us"):
            await task
    binds.give_back(cast(Any, wire))
    assert site.attempts[-1].cancelled()
    assert binds.open == 0


# --- searches ---


@pytest.fixture
async def searches(site: Site) -> AsyncIterator[SearchPool]:
    pool = SearchPool(Window(2, 5.0), site.turns, site.attempt)
    yield pool
    await pool.close()


async def test_searches_share_one_connection_as_far_as_the_window_goes(site: Site, searches: SearchPool) -> None:
    tasks = [waiter(searches) for _ in range(4)]
    wire = cast(Any, await site.open())
    assert [task.done() for task in tasks] == [True, True, False, False]
    assert (searches.outstanding, searches.waiting, len(site.attempts)) == (2, 2, 1)
    searches.give_back(wire, 0.001)
    assert await tasks[2] is wire
    searches.give_back(wire, 0.001)
    searches.give_back(wire)
    await tasks[3]
    searches.give_back(wire)
    assert (searches.outstanding, searches.take()) == (0, wire)


async def test_a_lost_connection_is_replaced_once_for_all(site: Site, searches: SearchPool) -> None:
    tasks = [waiter(searches) for _ in range(4)]
    wire = cast(Any, await site.open())
    wire.closed = True
    searches.give_back(wire)
    searches.give_back(wire)
    new = await site.open()
    assert [await task for task in tasks] == [wire, wire, new, new]
    assert len(site.attempts) == 2


async def test_when_no_connection_can_be_opened_all_hear_of_it_and_the_next_tries_again(
    site: Site, searches: SearchPool
) -> None:
    tasks = [waiter(searches) for _ in range(4)]
    await site.fail()
    for task in tasks:
        with pytest.raises(ServerFault, match="refused"):
            await task
    task = waiter(searches)
    assert await site.open() is await task


async def test_a_search_that_leaves_leaves_its_place(site: Site, searches: SearchPool) -> None:
    leaving, staying = waiter(searches), waiter(searches)
    await settled()
    leaving.cancel()
    wire = cast(Any, await site.open())
    assert await staying is wire
    assert searches.outstanding == 1
    late = waiter(searches)
    await late
    next_one = waiter(searches)
    await settled()
    searches.give_back(wire)
    next_one.cancel()  # after it was given the place, and before it could take it
    await settled()
    assert next_one.cancelled()
    assert searches.outstanding == 1


async def test_places_are_not_lost_on_waits_that_are_over(site: Site, searches: SearchPool) -> None:
    tasks = [waiter(searches) for _ in range(3)]
    wire = cast(Any, await site.open())
    next(iter(site.turns._waiting)).set_exception(TimeoutError())
    searches.give_back(wire)
    assert searches.outstanding == 1
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) is Wire for result in results] == [True, True, False]


async def test_searches_are_turned_away_together(site: Site, searches: SearchPool) -> None:
    tasks = [waiter(searches) for _ in range(3)]
    await settled()
    searches.turn_away(ServerFault("ask another"))
    for task in tasks:
        with pytest.raises(ServerFault, match="ask another"):
            await task


async def test_closing_ends_searches_that_wait_and_those_that_come(site: Site, searches: SearchPool) -> None:
    tasks = [waiter(searches) for _ in range(3)]
    wire = await site.open()
    await searches.close()
    assert wire.closed
    tasks.append(waiter(searches))
    for task in tasks[2:]:
        with pytest.raises(ServerFault, match="closed by us"):
            await task
    searches.give_back(cast(Any, wire))
    searches.give_back(cast(Any, wire))
    assert len(site.attempts) == 1


async def test_an_attempt_to_open_is_given_up_when_the_pool_closes(site: Site, searches: SearchPool) -> None:
    task = waiter(searches)
    await settled()
    await searches.close()
    assert site.attempts[0].cancelled()
    with pytest.raises(ServerFault, match="closed by us"):
        await task
