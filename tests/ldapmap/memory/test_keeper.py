"""The keeper: what workers say in whatever order, and what must never come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from ldapmap.entries import Entry
from ldapmap.memory import keeper as keeper_module
from ldapmap.memory.guarded import dumpable
from ldapmap.memory.keeper import MemoryKeeper
from ldapmap.memory.line import BATCH, VERIFY_SECONDS, MemoryLine, memory_pair
from ldapmap.memory.table import ACCEPTED, REFUSED, UNKNOWN, RememberedTable
from ldapmap.sections import RememberSettings
from tests.ldapmap.scripted import ALICE, BOB, ManualClock, turns


@dataclass
class Bench:
    table: RememberedTable
    keeper: MemoryKeeper
    lines: list[MemoryLine]
    socks: list[tuple[socket.socket, socket.socket]]
    clock: ManualClock

    @property
    def line(self) -> MemoryLine:
        return self.lines[0]

    async def verify(self, entry: Entry, password: bytes) -> str:
        return await self.line.verify(entry, password)

    async def remembers(self, entry: Entry, password: bytes = b"secret") -> bool:
        return await self.verify(entry, password) == ACCEPTED

    async def learn(self, *entries: Entry, password: bytes = b"secret") -> None:
        """Verified just now."""
        self.clock.now += 1.0
        for entry in entries:
            self.line.remember(entry, password, self.clock.now)
        await turns()


@pytest.fixture(name="table")
def one_table() -> Iterator[RememberedTable]:
    was = dumpable(True)
    table = RememberedTable.create(RememberSettings(size=1000, age=600.0, attempts=3))
    yield table
    table.discard()
    dumpable(was)


@contextlib.asynccontextmanager
async def bench(table: RememberedTable, *, workers: int = 1) -> AsyncIterator[Bench]:
    clock = ManualClock()
    pairs = [memory_pair() for _ in range(workers)]
    lines = [MemoryLine(ours, clock=clock, patience=10.0) for ours, _ in pairs]
    keeper = MemoryKeeper(table, [theirs for _, theirs in pairs], clock=clock)
    keeper.start()
    for line in lines:
        line.start()
    try:
        yield Bench(table, keeper, lines, pairs, clock)
    finally:
        keeper.close()
        for line in lines:
            line.close()
        for sock in (end for pair in pairs for end in pair):
            sock.close()


async def test_what_one_worker_has_seen_accepted_all_of_them_know(table: RememberedTable) -> None:
    async with bench(table, workers=2) as it:
        await it.learn(ALICE)
        assert await it.lines[1].verify(ALICE, b"secret") == ACCEPTED
        assert await it.lines[1].verify(ALICE, b"wrong") == REFUSED
        assert await it.lines[1].verify(BOB, b"secret") == UNKNOWN


async def test_a_refused_password_is_not_remembered_any_more_but_a_guess_does_no_harm(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        it.line.disown(ALICE, b"guess")
        assert await it.remembers(ALICE)
        it.line.disown(ALICE, b"secret")
        assert await it.verify(ALICE, b"secret") == UNKNOWN


async def test_users_are_forgotten_on_the_word_of_a_worker_or_of_the_directory(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE, BOB)
        it.line.forget("alice")
        assert not await it.remembers(ALICE)
        assert await it.remembers(BOB)
        it.keeper.forget("bob")
        assert not await it.remembers(BOB)


async def test_all_are_forgotten_by_order_of_the_directory_or_of_a_worker_that_owes_too_much(
    table: RememberedTable,
) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        it.keeper.forget_all()
        assert not await it.remembers(ALICE)
        await it.learn(ALICE)
        assert await it.remembers(ALICE)
        it.line._owes_all = True
        assert not await it.remembers(ALICE)


async def test_a_password_verified_before_the_entry_changed_is_not_remembered_after_it(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE, password=b"former")
        asked = it.clock.now
        it.clock.now += 1.0
        it.keeper.forget("alice")
        it.clock.now += 1.0
        it.line.remember(ALICE, b"secret", asked)
        assert not await it.remembers(ALICE)
        await it.learn(ALICE)
        assert await it.remembers(ALICE)


async def test_what_was_verified_before_all_were_forgotten_is_not_remembered_either(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        asked = it.clock.now
        it.clock.now += 1.0
        it.keeper.forget_all()
        it.line.remember(ALICE, b"secret", asked)
        assert not await it.remembers(ALICE)


async def test_a_keeper_that_was_restarted_distrusts_what_was_verified_before(table: RememberedTable) -> None:
    """Nobody knows whom its predecessor should have forgotten; but what it had remembered is still there."""
    async with bench(table) as it:
        await it.learn(ALICE, BOB)
        it.keeper.close()
        it.line.remember(ALICE, b"changed", it.clock.now)
        it.clock.now += 1.0
        successor = MemoryKeeper(table, [theirs for _, theirs in it.socks], clock=it.clock)
        successor.start()
        assert not await it.remembers(ALICE)
        assert not await it.remembers(ALICE, b"changed")
        assert await it.remembers(BOB)
        await it.learn(ALICE)
        assert await it.remembers(ALICE)
        successor.close()


async def test_only_so_many_forgotten_users_are_kept_in_mind_and_all_that_is_older_is_distrusted(
    table: RememberedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "MOST_FORGOTTEN", 2)
    async with bench(table) as it:
        for user in ("carol", "alice", "carol", "dora", "erna"):
            it.clock.now += 1.0
            it.keeper.forget(user)
        # alice was forgotten at 1002 and carol at 1003; neither is kept in mind any more
        it.line.remember(ALICE, b"secret", 1002.5)
        it.line.remember(BOB, b"secret", 1003.5)
        assert not await it.remembers(ALICE)
        assert await it.remembers(BOB)


@pytest.mark.parametrize("asked", [float("nan"), float("inf"), 1e9, -1.0])
async def test_a_time_that_cannot_be_is_not_believed(table: RememberedTable, asked: float) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        it.line.remember(ALICE, b"changed", asked)
        assert not await it.remembers(ALICE, b"changed")
        it.line._clock = lambda: asked
        it.line.forget("alice")
        await turns()
        it.line._clock = it.clock
        await it.learn(ALICE)
        assert await it.remembers(ALICE)


async def test_a_question_that_nobody_waits_for_any_more_is_no_try(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        it.line._patience = 0.01
        it.line._clock = lambda: it.clock.now - VERIFY_SECONDS - 0.1
        for _ in range(5):
            assert await it.verify(ALICE, b"wrong") == UNKNOWN
        it.line._patience, it.line._clock = 10.0, it.clock
        assert await it.remembers(ALICE)


async def test_what_is_no_message_is_passed_over(table: RememberedTable) -> None:
    async with bench(table) as it:
        ours, _ = it.socks[0]
        for junk in (b"x", bytes(29), b"\xff" * 60, bytes(9000)):
            ours.send(junk)
        await it.learn(ALICE)
        assert await it.remembers(ALICE)


async def test_what_was_said_is_wiped_from_the_keepers_memory(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE, password=b"correct horse")
        assert not any(it.keeper._buffer)
        assert "horse" not in repr(vars(it.keeper))


async def test_a_worker_that_talks_much_does_not_keep_the_others_waiting_for_ever(table: RememberedTable) -> None:
    async with bench(table, workers=2) as it:
        it.clock.now += 1.0
        for _ in range(BATCH * 2 + 1):
            it.line.remember(ALICE, b"secret", it.clock.now)
        assert await it.lines[1].verify(BOB, b"secret") == UNKNOWN
        assert await it.remembers(ALICE)


async def test_a_worker_that_does_not_read_its_answers_gets_no_more_of_them(table: RememberedTable) -> None:
    async with bench(table, workers=2) as it:
        ours, theirs = it.socks[0]
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        it.line.close()
        it.clock.now += 1.0
        for number in range(200):
            ours.send(it.line._message(5, "alice", "dn", b"secret", number=number))
            await asyncio.sleep(0)
        assert await it.lines[1].verify(BOB, b"secret") == UNKNOWN


async def test_a_worker_that_died_is_followed_by_another_on_the_same_line(table: RememberedTable) -> None:
    async with bench(table) as it:
        await it.learn(ALICE)
        asked = asyncio.ensure_future(it.verify(ALICE, b"wrong"))
        await asyncio.sleep(0)
        it.line.close()
        assert await asked == UNKNOWN
        it.lines[0] = MemoryLine(it.socks[0][0], clock=it.clock, patience=10.0)
        it.line.start()
        assert await it.remembers(ALICE), (
            "and the answer to its predecessor, which comes first, is not taken for its own"
        )


@pytest.mark.parametrize("unread", [False, True])
async def test_a_line_whose_other_end_is_gone_is_left_alone(table: RememberedTable, unread: bool) -> None:
    async with bench(table, workers=2) as it:
        if unread:
            it.socks[0][1].send(b"an answer that nobody reads")
        it.line.close()
        it.socks[0][0].close()
        await turns()
        assert await it.lines[1].verify(BOB, b"secret") == UNKNOWN


async def test_the_keepers_process_is_not_dumpable(table: RememberedTable) -> None:
    dumpable(True)
    async with bench(table):
        assert dumpable(False) is False


async def test_a_keeper_that_was_never_started_can_be_closed(table: RememberedTable) -> None:
    MemoryKeeper(table, []).close()


async def test_a_killed_keeper_is_replaced_and_nothing_that_it_knew_is_lost(table: RememberedTable) -> None:
    """Three processes: this one is the worker; one keeper after the other is its child."""
    ours, theirs = memory_pair()
    line = MemoryLine(ours, patience=10.0)
    first = await keeper_process(table, theirs)
    line.start()
    line.remember(ALICE, b"secret", line._clock())
    assert await line.verify(ALICE, b"secret") == ACCEPTED
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    line._patience = 0.01
    assert await line.verify(ALICE, b"secret") == UNKNOWN, "nobody is there"
    line._patience = 10.0
    second = await keeper_process(table, theirs)
    assert await line.verify(ALICE, b"secret") == ACCEPTED
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
    line.close()
    ours.close()
    theirs.close()


async def keeper_process(table: RememberedTable, theirs: socket.socket) -> int:
    """A child that is a keeper until it is killed; it is ready when this returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            asyncio.events._set_running_loop(None)
            asyncio.new_event_loop().run_until_complete(be_keeper(table, theirs, writing))
        finally:
            os._exit(1)
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1) == b"x"
    os.close(reading)
    return child


async def be_keeper(table: RememberedTable, theirs: socket.socket, ready: int) -> None:
    MemoryKeeper(table, [theirs]).start()
    os.write(ready, b"x")
    await asyncio.Event().wait()
