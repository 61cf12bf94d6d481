"""The queue for a connection: first come, first served, and nobody waits for ever or is forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ldapmap.client.deadlines import Deadlines
from ldapmap.client.turns import Busy, Turns
from ldapmap.errors import ServerFault


class Line:
    """A queue of three at most, and what it told."""

    def __init__(self, seconds: float) -> None:
        self.deadlines = Deadlines(seconds)
        self.waited: list[float] = []
        self.handed_back: list[str] = []
        self.turns = Turns[str]("ldap://a:389", 3, self.deadlines, self.waited.append)

    async def join(self) -> "asyncio.Task[str]":
        task = asyncio.ensure_future(self.turns.wait(self.handed_back.append))
        await asyncio.sleep(0)
        return task


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(5.0)
    yield line
    line.deadlines.close()


async def test_who_came_first_is_served_first(line: Line) -> None:
    tasks = [await line.join() for _ in range(3)]
    assert len(line.turns) == 3
    assert [line.turns.give(thing) for thing in "abcd"] == [True, True, True, False]
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    assert (len(line.turns), len(line.waited)) == (0, 3)


async def test_more_than_the_limit_are_refused_at_once(line: Line) -> None:
    tasks = [await line.join() for _ in range(3)]
    with pytest.raises(Busy, match="3 are waiting already"):
        await line.turns.wait(line.handed_back.append)
    line.turns.turn_away(ServerFault("over"))
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nobody_waits_longer_than_the_queue_time() -> None:
    line = Line(0.02)
    task = await line.join()
    with pytest.raises(Busy, match=r"no connection was free for 0\.02 s"):
        await task
    assert len(line.turns) == 0
    assert len(line.waited) == 1
    line.deadlines.close()


async def test_who_leaves_is_passed_over(line: Line) -> None:
    first, second = await line.join(), await line.join()
    first.cancel()
    assert line.turns.give("a")
    assert await second == "a"
    assert line.handed_back == []


async def test_who_is_out_of_time_but_does_not_know_it_yet_is_passed_over(line: Line) -> None:
    first, second = await line.join(), await line.join()
    next(iter(line.turns._waiting)).set_exception(TimeoutError())
    assert line.turns.give("a")
    assert await second == "a"
    with pytest.raises(Busy):
        await first


async def test_what_was_given_to_somebody_who_leaves_is_handed_back(line: Line) -> None:
    task = await line.join()
    assert line.turns.give("a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.handed_back == ["a"]


async def test_who_is_turned_away_and_leaves_has_nothing_to_hand_back(line: Line) -> None:
    task = await line.join()
    line.turns.turn_away(ServerFault("over"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert line.handed_back == []


async def test_everybody_is_turned_away_with_an_exception_of_his_own(line: Line) -> None:
    first, second, leaving = [await line.join() for _ in range(3)]
    leaving.cancel()
    fault = ServerFault("gone", again=True)
    line.turns.turn_away(fault)
    heard = await asyncio.gather(first, second, return_exceptions=True)
    for each in heard:
        assert isinstance(each, ServerFault)
        assert (each.reason, each.again) == ("gone", True)
    assert heard[0] is not heard[1]
    assert len(line.turns) == 0
