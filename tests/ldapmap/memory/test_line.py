"""A worker's end of the line: it never waits, forgets nothing it owes, and believes only its own answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.memory import line as memory
from ldapmap.memory.line import MESSAGE_LIMIT, Kind, MemoryLine, Message, memory_pair, read_message, reply
from ldapmap.memory.table import ACCEPTED, REFUSED, UNKNOWN
from ldapmap.meters import Remembered
from tests.ldapmap.scripted import ALICE, BOB, ManualClock, turns

HEADER = 29


class End:
    """The keeper's end, read by the test."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def heard(self) -> list[Message]:
        """What has come since."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                message = read_message(memoryview(self.sock.recv(MESSAGE_LIMIT + 1)))
                assert message is not None
                found.append(message)
        return found

    def said(self) -> list[tuple[Kind, bytes]]:
        return [(Kind(message.kind), bytes(message.user)) for message in self.heard()]

    async def told(self) -> list[tuple[Kind, bytes]]:
        """All there is until the worker has nothing more to say."""
        found = self.said()
        while more := [*await self._later()]:
            found += more
        return found

    async def _later(self) -> list[tuple[Kind, bytes]]:
        await turns()
        return self.said()


@contextlib.asynccontextmanager
async def line(
    clock: ManualClock | None = None, *, patience: float = 10.0, room: int | None = None
) -> AsyncIterator[tuple[MemoryLine, End]]:
    ours, theirs = memory_pair()
    with ours, theirs:
        if room is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        it = MemoryLine(ours, clock=clock or ManualClock(), patience=patience)
        it.start()
        try:
            yield it, End(theirs)
        finally:
            it.close()


def fill(it: MemoryLine) -> int:
    """Remember until there is no more room; the number of messages that went."""
    sent = 0
    while not it._owed:
        it.remember(ALICE, b"x" * 1000, 1.0)
        sent += 1
    return sent - 1


async def test_what_is_said_arrives_as_it_was_said() -> None:
    clock = ManualClock(7.0)
    async with line(clock) as (it, end):
        it.remember(ALICE, b"s\0cret", 5.5)
        it.disown(BOB, b"wrong")
        it.forget("zoë")
        remember, disown, forget = end.heard()
    assert (remember.kind, remember.asked) == (Kind.REMEMBER, 5.5)
    assert [bytes(part) for part in remember[4:]] == [b"alice", b"uid=alice,dc=x", b"s\0cret"]
    assert (disown.kind, disown.asked) == (Kind.DISOWN, 7.0)
    assert [bytes(part) for part in disown[4:]] == [b"bob", b"uid=bob,dc=x", b"wrong"]
    assert (forget.kind, bytes(forget.user)) == (Kind.FORGET, "zoë".encode())


@pytest.mark.parametrize("verdict", [ACCEPTED, REFUSED, UNKNOWN])
async def test_the_keepers_word_reaches_whoever_asked(verdict: Remembered) -> None:
    async with line() as (it, end):
        first = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        second = asyncio.ensure_future(it.verify(BOB, b"secret"))
        await turns()
        one, other = end.heard()
        end.sock.send(reply(other.epoch, other.number, verdict))
        assert await second == verdict
        assert not first.done()
        end.sock.send(reply(one.epoch, one.number, ACCEPTED))
        assert await first == ACCEPTED


async def test_without_an_answer_it_is_unknown_and_the_next_question_is_answered() -> None:
    async with line(patience=0.01) as (it, end):
        assert await it.verify(ALICE, b"secret") == UNKNOWN
        (late,) = end.heard()
        it._patience = 10.0
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        (now,) = end.heard()
        end.sock.send(reply(late.epoch, late.number, REFUSED))
        end.sock.send(reply(now.epoch, now.number, ACCEPTED))
        assert await asked == ACCEPTED


async def test_an_answer_for_the_worker_before_us_is_not_ours() -> None:
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        (question,) = end.heard()
        end.sock.send(reply(b"earlier!", question.number, ACCEPTED))
        end.sock.send(reply(question.epoch, question.number, REFUSED))
        end.sock.send(reply(question.epoch, question.number, ACCEPTED))
        assert await asked == REFUSED


async def test_many_answers_at_once_are_all_taken() -> None:
    async with line() as (it, end):
        asked = [asyncio.ensure_future(it.verify(ALICE, b"secret")) for _ in range(memory.BATCH * 2 + 1)]
        await turns()
        for question in end.heard():
            end.sock.send(reply(question.epoch, question.number, ACCEPTED))
        assert await asyncio.gather(*asked) == [ACCEPTED] * len(asked)


async def test_whoever_leaves_while_waiting_is_not_waited_for() -> None:
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        asked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asked
        (question,) = end.heard()
        end.sock.send(reply(question.epoch, question.number, ACCEPTED))
        await turns()
        assert it._waiting == {}


async def test_when_the_line_is_full_no_older_digest_stays() -> None:
    async with line(room=1) as (it, end):
        sent = fill(it)
        it.remember(BOB, b"secret", 1.0)
        it.forget("carol")
        assert await it.verify(ALICE, b"secret") == UNKNOWN, "for what is remembered may be outdated"
        told = await end.told()
        assert told[:sent] == [(Kind.REMEMBER, b"alice")] * sent
        assert told[sent:] == [(Kind.FORGET, user) for user in (b"alice", b"bob", b"carol")]
        it.remember(ALICE, b"secret", 2.0)
        assert end.said() == [(Kind.REMEMBER, b"alice")]


async def test_what_is_owed_is_paid_before_anything_else_is_said() -> None:
    async with line(room=1) as (it, end):
        sent = fill(it)
        end.sock.recv(MESSAGE_LIMIT)
        end.sock.recv(MESSAGE_LIMIT)
        it.remember(BOB, b"secret", 1.0)
        assert (await end.told())[sent - 2 :] == [(Kind.FORGET, b"alice"), (Kind.REMEMBER, b"bob")]


async def test_whoever_owes_too_many_owes_that_all_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_OWED", 3)
    async with line(room=1) as (it, end):
        sent = fill(it)
        for number in range(3):
            it.forget(f"user{number}")
        it.forget("last")
        told = await end.told()
        assert told[sent:] == [(Kind.FORGET_ALL, b""), (Kind.FORGET, b"last")]


async def test_no_more_than_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_WAITING", 1)
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        assert await it.verify(BOB, b"secret") == UNKNOWN
        it.close()
        assert await asked == UNKNOWN
        assert len(end.heard()) == 1


async def test_an_answer_that_came_before_the_end_counts() -> None:
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        (question,) = end.heard()
        end.sock.send(reply(question.epoch, question.number, ACCEPTED))
        it._hear()
        it.close()
        assert await asked == ACCEPTED


async def test_what_is_too_long_is_not_remembered_nor_is_what_was_before() -> None:
    room = MESSAGE_LIMIT - HEADER - len(ALICE.user) - len(ALICE.dn)
    async with line() as (it, end):
        it.remember(ALICE, b"x" * room, 1.0)
        it.remember(ALICE, b"x" * (room + 1), 1.0)
        assert end.said() == [(Kind.REMEMBER, b"alice"), (Kind.FORGET, b"alice")]
        assert await it.verify(ALICE, b"x" * (room + 1)) == UNKNOWN
        it.forget("x" * MESSAGE_LIMIT)
        assert end.said() == []


async def test_a_line_without_another_end_is_no_trouble() -> None:
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        end.heard()
        end.sock.close()
        assert await asked == UNKNOWN
        it.remember(ALICE, b"secret", 1.0)
        it.forget("alice")
        assert await it.verify(ALICE, b"secret") == UNKNOWN


async def test_an_end_that_is_torn_off_with_words_unread_is_no_trouble_either() -> None:
    async with line() as (it, end):
        asked = asyncio.ensure_future(it.verify(ALICE, b"secret"))
        await turns()
        end.sock.close()
        assert await asked == UNKNOWN


async def test_before_it_starts_a_line_may_be_told_things_but_knows_nothing() -> None:
    ours, theirs = memory_pair()
    with ours, theirs:
        it = MemoryLine(ours)
        it.remember(ALICE, b"secret", 1.0)
        assert await it.verify(ALICE, b"secret") == UNKNOWN
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        fill(it)
        it.close()


async def test_nothing_of_a_password_is_shown() -> None:
    async with line(room=1) as (it, _):
        fill(it)
        it.remember(ALICE, b"correct horse", 1.0)
        assert "horse" not in repr(vars(it))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_none(data: bytes) -> None:
    message = read_message(memoryview(data))
    if message is not None:
        assert data[HEADER:] == b"".join((message.user, message.dn, message.password))


def test_lengths_that_are_not_true_make_no_message() -> None:
    head = struct.Struct("<B8sQdHH").pack(Kind.FORGET, bytes(8), 0, 1.0, 3, 2)
    assert read_message(memoryview(head + b"abcd")) is None
    assert read_message(memoryview(head + b"abcde")) is not None
    assert read_message(memoryview(head + bytes(MESSAGE_LIMIT))) is None
