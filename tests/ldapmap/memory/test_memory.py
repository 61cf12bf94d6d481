"""What is made before the fork, and what each kind of process keeps of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ldapmap.entries import Entry
from ldapmap.memory.guarded import dumpable
from ldapmap.memory.memory import Memory
from ldapmap.memory.table import ACCEPTED, UNKNOWN
from ldapmap.sections import RememberSettings
from tests.ldapmap.forks import in_a_child

ALICE = Entry("alice", "uid=alice,dc=example", "s1")
SETTINGS = RememberSettings(enabled=True, size=64)


@pytest.fixture
def memory() -> Iterator[Memory]:
    was = dumpable(True)
    made = Memory(SETTINGS, 2)
    yield made
    made.discard()
    dumpable(was)


def test_a_worker_talks_to_the_keeper_over_its_own_line_and_has_no_table(memory: Memory) -> None:
    async def work() -> None:
        line = memory.line(1)
        assert dumpable(True), "it has given up what made it secret"
        line.start()
        verdict = UNKNOWN
        while verdict == UNKNOWN:  # a keeper trusts nothing that is older than itself
            line.remember(ALICE, b"secret", asyncio.get_running_loop().time())
            verdict = await line.verify(ALICE, b"secret")
        assert verdict == ACCEPTED
        assert await line.verify(ALICE._replace(user="bob"), b"secret") == UNKNOWN
        line.close()

    async def keep(finished: asyncio.Future[int]) -> int:
        keeper = memory.keeper()
        keeper.start()
        status = await asyncio.wait_for(finished, 10.0)
        keeper.close()
        return status

    async def both() -> int:
        return await keep(in_a_child(lambda: asyncio.run(work())))

    assert asyncio.run(both()) == 0


def test_any_other_process_gives_up_everything(memory: Memory) -> None:
    async def watch() -> int:
        return await asyncio.wait_for(in_a_child(memory.discard), 10.0)

    assert asyncio.run(watch()) == 0
