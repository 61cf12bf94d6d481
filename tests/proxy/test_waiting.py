"""A wait resumes its task inside the event, and is otherwise a future like any other."""

from __future__ import annotations

import asyncio

import pytest

from proxy.waiting import Wait


async def started(wait: Wait, said: list[str]) -> asyncio.Task[None]:
    """A task that has begun to wait."""

    async def waiting() -> None:
        said.append("before")
        await wait
        said.append("after")

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    assert said[-1] == "before"
    return task


async def finished(wait: Wait) -> None:
    """Finish a wait from where events are handled, which is no task."""
    asyncio.get_running_loop().call_soon(wait.finish)
    await asyncio.sleep(0)


async def test_the_task_is_resumed_inside_the_event() -> None:
    wait, said = Wait(asyncio.get_running_loop()), list[str]()
    task = await started(wait, said)

    def event() -> None:
        wait.finish()
        said.append("event")

    asyncio.get_running_loop().call_soon(event)
    await task
    assert said == ["before", "after", "event"]


async def test_a_wait_serves_again_and_again() -> None:
    wait = Wait(asyncio.get_running_loop())
    for _ in range(3):
        task = await started(wait, [])
        assert wait.pending
        await finished(wait)
        assert task.done()
        assert not wait.pending


async def test_nobody_waiting_is_no_matter() -> None:
    wait = Wait(asyncio.get_running_loop())
    wait.finish()
    assert not wait.fail(ValueError())
    assert not wait.cancel()


async def test_a_failure_is_raised_where_the_task_waits_and_forgotten_afterwards() -> None:
    wait = Wait(asyncio.get_running_loop())
    task = await started(wait, [])
    assert wait.fail(ValueError("too late"))
    assert not wait.fail(ValueError("once"))
    with pytest.raises(ValueError, match="too late"):
        await task
    task = await started(wait, [])
    await finished(wait)
    assert task.exception() is None


async def test_a_waiting_task_can_be_cancelled_and_times_out() -> None:
    wait = Wait(asyncio.get_running_loop())
    task = await started(wait, [])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.001):
            await wait
    assert wait.get_loop() is asyncio.get_running_loop()
    assert asyncio.isfuture(wait)
