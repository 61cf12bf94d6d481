"""One attempt at a time, whatever its end."""

import asyncio

import pytest

from ldapmap.client.opener import Opener
from ldapmap.errors import ServerFault, Unavailable


class Attempts:
    """Attempts that end when the test says so, and what was told of them."""

    def __init__(self) -> None:
        self.made: list[asyncio.Future[str]] = []
        self.opened: list[str] = []
        self.failed: list[Unavailable] = []
        self.opener = Opener(self.attempt, self.opened.append, self.failed.append)

    async def attempt(self) -> str:
        self.made.append(asyncio.get_running_loop().create_future())
        return await self.made[-1]

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)


@pytest.fixture
async def attempts() -> Attempts:
    return Attempts()


async def test_there_is_one_attempt_however_often_it_is_asked_for(attempts: Attempts) -> None:
    for _ in range(3):
        attempts.opener.start()
    await attempts.settle()
    assert (len(attempts.made), attempts.opener.busy) == (1, True)
    attempts.made[0].set_result("c1")
    await attempts.settle()
    assert (attempts.opened, attempts.opener.busy) == (["c1"], False)
    attempts.opener.start()
    await attempts.settle()
    assert len(attempts.made) == 2
    await attempts.opener.close()


async def test_who_is_told_of_a_failure_may_start_again(attempts: Attempts) -> None:
    def try_again(fault: Unavailable) -> None:
        attempts.failed.append(fault)
        attempts.opener.start()

    attempts.opener._failed = try_again
    attempts.opener.start()
    await attempts.settle()
    attempts.made[0].set_exception(ServerFault("no"))
    await attempts.settle()
    assert [fault.reason for fault in attempts.failed] == ["no"]
    assert len(attempts.made) == 2
    await attempts.opener.close()


async def test_closing_ends_the_attempt_and_tells_nothing(attempts: Attempts) -> None:
    await attempts.opener.close()
    attempts.opener.start()
    await attempts.settle()
    await attempts.opener.close()
    await attempts.opener.close()
    assert attempts.made[0].cancelled()
    assert (attempts.opened, attempts.failed, attempts.opener.busy) == ([], [], False)
