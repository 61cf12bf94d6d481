"""When a session ends with a farewell and when without one: no sockets, and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proxy.dispatcher import Dispatcher
from proxy.farewell import Farewell
from tests.proxy.front import Clock
from tests.proxy.sockets import dispatching


class Conversation:
    """What a farewell asks about; `ended` is why it ended and what was said."""

    def __init__(self) -> None:
        self.over = False
        self.received = 1000
        self.between = True
        self.ended: list[tuple[str, bytes]] = []

    def between_responses(self) -> bool:
        """As the test wants it."""
        return self.between

    def end(self, closed_by: str, farewell: bytes = b"") -> None:
        """Write it down."""
        self.over = True
        self.ended.append((closed_by, farewell))


class Bench:
    """A conversation, and time that a test lets pass."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.clock = Clock()
        dispatcher.now = self.clock
        self.conversation = Conversation()

    def begin(self, quiet: float = 0.25, patience: float = 2.0) -> None:
        """The order to end has come."""
        Farewell(self.conversation, self.dispatcher, "kick", b"BYE\r\n", quiet, self.clock() + patience)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and sweep."""
        self.clock.add(seconds)
        self.dispatcher.sweep()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with dispatching() as dispatcher:
        yield Bench(dispatcher)


async def test_a_still_conversation_between_responses_ends_with_the_farewell(bench: Bench) -> None:
    bench.begin()
    bench.pass_time(0.25)
    assert bench.conversation.ended == [("kick", b"BYE\r\n")]
    assert not bench.dispatcher.timed


async def test_nothing_is_said_before_it_has_been_still_long_enough(bench: Bench) -> None:
    bench.begin()
    bench.pass_time(0.2)
    assert bench.conversation.ended == []


async def test_what_moves_puts_the_end_off(bench: Bench) -> None:
    bench.begin()
    bench.conversation.received += 10
    bench.pass_time(0.25)
    assert bench.conversation.ended == []
    bench.pass_time(0.25)
    assert bench.conversation.ended == [("kick", b"BYE\r\n")]


async def test_within_a_response_it_waits_for_its_end(bench: Bench) -> None:
    bench.conversation.between = False
    bench.begin()
    bench.pass_time(0.5)
    assert bench.conversation.ended == []
    bench.conversation.between = True
    bench.pass_time(0.5)
    assert bench.conversation.ended == [("kick", b"BYE\r\n")]


async def test_within_a_response_it_ends_without_a_word_when_its_time_is_over(bench: Bench) -> None:
    bench.conversation.between = False
    bench.begin()
    bench.pass_time(1.9)
    assert bench.conversation.ended == []
    bench.pass_time(0.1)
    assert bench.conversation.ended == [("kick", b"")]
    assert not bench.dispatcher.timed


async def test_what_never_stands_still_ends_without_a_word_when_its_time_is_over(bench: Bench) -> None:
    bench.begin()
    for _ in range(20):
        assert bench.conversation.ended == []
        bench.conversation.received += 10
        bench.pass_time(0.1)
    assert bench.conversation.ended == [("kick", b"")]


async def test_its_time_is_not_prolonged_by_the_wait_for_quiet(bench: Bench) -> None:
    bench.begin(quiet=10.0, patience=1.0)
    bench.pass_time(1.0)
    assert bench.conversation.ended == [("kick", b"")]


async def test_without_time_and_without_quiet_the_moment_decides(bench: Bench) -> None:
    for between, said in ((True, b"BYE\r\n"), (False, b"")):
        bench.conversation = Conversation()
        bench.conversation.between = between
        bench.begin(quiet=0.0, patience=0.0)
        bench.pass_time(0.0)
        assert bench.conversation.ended == [("kick", said)]


async def test_a_conversation_that_has_ended_by_itself_is_forgotten(bench: Bench) -> None:
    bench.begin()
    bench.conversation.over = True
    bench.pass_time(1.0)
    assert bench.conversation.ended == []
    assert not bench.dispatcher.timed


async def test_two_orders_end_it_once(bench: Bench) -> None:
    bench.begin()
    bench.begin(quiet=0.1)
    bench.pass_time(1.0)
    assert bench.conversation.ended == [("kick", b"BYE\r\n")]
    assert not bench.dispatcher.timed
