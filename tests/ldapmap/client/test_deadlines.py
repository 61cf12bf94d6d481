"""Deadlines with a loop whose clock only the test moves."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from ldapmap.client.deadlines import Deadlines


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """What `Deadlines` uses of an event loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None], Timer]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + seconds, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer()
        self.timers.append((when, callback, timer))
        return timer

    def advance(self, to: float) -> None:
        self.now = to
        due, self.timers = [t for t in self.timers if t[0] <= to], [t for t in self.timers if t[0] > to]
        for _, callback, timer in due:
            if not timer.cancelled:
                callback()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock()


async def started(clock: Clock, seconds: float) -> Deadlines:
    deadlines = Deadlines(seconds)
    cast(Any, deadlines)._loop = clock
    return deadlines


def wait() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def test_a_wait_ends_with_a_timeout_when_its_time_is_over(clock: Clock) -> None:
    deadlines, future = await started(clock, 5.0), wait()
    deadlines.add(future)
    clock.advance(4.9)
    assert not future.done()
    clock.advance(5.0)
    with pytest.raises(TimeoutError):
        await future


async def test_one_timer_serves_every_wait(clock: Clock) -> None:
    deadlines = await started(clock, 5.0)
    early, late = wait(), wait()
    deadlines.add(early)
    clock.advance(2.0)
    deadlines.add(late)
    assert len(clock.timers) == 1
    clock.advance(5.0)
    assert early.done()
    assert not late.done()
    assert [when for when, *_ in clock.timers] == [7.0]
    clock.advance(7.0)
    assert isinstance(late.exception(), TimeoutError)
    assert isinstance(early.exception(), TimeoutError)


async def test_without_waits_there_is_no_timer(clock: Clock) -> None:
    deadlines, future = await started(clock, 5.0), wait()
    deadlines.add(future)
    deadlines.discard(future)
    deadlines.discard(future)
    clock.advance(5.0)
    assert clock.timers == []
    assert not future.done()
    deadlines.add(future)
    assert len(clock.timers) == 1


async def test_a_wait_that_is_over_is_left_alone(clock: Clock) -> None:
    deadlines, future = await started(clock, 5.0), wait()
    deadlines.add(future)
    future.set_result(None)
    clock.advance(6.0)
    assert future.result() is None


async def test_closing_stops_the_timer(clock: Clock) -> None:
    deadlines, future = await started(clock, 5.0), wait()
    deadlines.close()
    deadlines.add(future)
    deadlines.close()
    clock.advance(9.0)
    assert not future.done()
