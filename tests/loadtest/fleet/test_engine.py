from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from loadtest.fleet.engine import READ, SWEEP, Engine, Job


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Ticking(Clock):
    """Moves on a little whenever it is looked at, so that nobody has to wait."""

    def __call__(self) -> float:
        self.time += 1.0
        return self.time


class Over(Exception):
    pass


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(Ticking())
    yield engine
    engine.end()


def test_jobs_take_turns_and_the_engine_ends_with_the_last(engine: Engine) -> None:
    seen: list[str] = []

    async def job(name: str, seconds: float) -> None:
        seen.append(f"{name} begins")
        await engine.sleep(seconds)
        seen.append(f"{name} ends")

    engine.spawn(job("long", 3.0))
    engine.spawn(job("short", 1.0))
    engine.run()
    assert seen == ["long begins", "short begins", "short ends", "long ends"]
    assert engine.late > 0


def test_what_a_job_does_not_catch_ends_the_engine(engine: Engine) -> None:
    async def job() -> None:
        await engine.sleep(0.1)
        raise ValueError("a bug")

    engine.spawn(job())
    with pytest.raises(ValueError, match="a bug"):
        engine.run()
    assert not engine.jobs


def test_a_failure_is_raised_where_the_job_waits(engine: Engine) -> None:
    seen: list[str] = []

    async def patient() -> None:
        try:
            await engine.sleep(1e9)
        except Over:
            seen.append("over")

    async def killer(victim: Job) -> None:
        await engine.sleep(1.0)
        victim.fail(Over())

    engine.spawn(killer(engine.spawn(patient())))
    engine.run()
    assert seen == ["over"]


def test_a_failure_that_comes_too_late_is_not_raised_in_another_wait(engine: Engine) -> None:
    seen: list[str] = []

    async def patient() -> None:
        await engine.pause()
        await engine.sleep(1.0)
        seen.append("slept")

    job = engine.spawn(patient())
    engine.run(lambda: job.turn == 1)
    job.fail(Over())
    job.resume()
    engine.run()
    assert seen == ["slept"]


def test_stopping_ends_those_that_wait_and_those_that_have_not_begun(engine: Engine) -> None:
    async def patient() -> None:
        with pytest.raises(Over):
            await engine.sleep(1e9)

    begun = engine.spawn(patient())
    engine.run(lambda: begun.turn > 0)
    engine.spawn(patient())
    engine.stop(Over)
    assert not engine.jobs


def test_deadlines_are_looked_at_now_and_then() -> None:
    clock = Ticking()
    engine = Engine(clock)
    expired: list[float] = []

    class Waiting:
        deadline = clock() + 1.0

        def expire(self) -> None:
            expired.append(clock.time - self.deadline)
            self.deadline = float("inf")

    engine.timed[Waiting()] = None

    async def job() -> None:
        await engine.sleep(3.0)

    engine.spawn(job())
    engine.run()
    engine.end()
    assert len(expired) == 1
    assert 0 <= expired[0] <= SWEEP + 6.0


def test_a_socket_that_is_ready_calls_its_handler_until_it_is_closed(engine: Engine) -> None:
    ours, theirs = socket.socketpair()
    seen: list[int] = []

    class Handler:
        def ready(self, events: int) -> None:
            seen.append(events)
            engine.close(ours.fileno(), ours)
            waiting.resume()

    async def job() -> None:
        await engine.pause()

    waiting = engine.spawn(job())
    engine.run(lambda: waiting.turn == 1)
    engine.register(ours.fileno(), Handler(), READ)
    theirs.send(b"x")
    engine.run()
    assert seen == [READ]
    assert ours.fileno() == -1
    theirs.close()
