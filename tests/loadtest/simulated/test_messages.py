"""Orders and answers on their way between processes."""

from __future__ import annotations

import msgspec
import pytest

from loadtest.simulated.messages import (
    Answer,
    Done,
    Failed,
    Kill,
    News,
    Order,
    Presence,
    Ready,
    Revive,
    Tell,
    Wanted,
    Work,
    encode,
    read_answer,
    read_order,
)


@pytest.mark.parametrize(
    "order",
    [
        Work(backends=[Wanted("a", "127.0.0.1", "s1")], pushes=0.5),
        Work(shards=["s1"], users=7, address="127.0.0.1"),
        Kill(1, "a"),
        Revive(2, "a"),
        Tell(3),
    ],
)
def test_an_order_is_one_line_and_read_as_it_was(order: Order) -> None:
    line = encode(order)
    assert b"\n" not in line
    assert read_order(line) == order


@pytest.mark.parametrize(
    "answer",
    [
        Ready({"a": {"imap": 143}}),
        News([Presence(1.5, 'user "1"\n', "a", "imap", True), Presence(2.0, "ü", "a", "pop3", False)]),
        Done(1),
        Failed(2, "no such address"),
    ],
)
def test_an_answer_is_one_line_and_read_as_it_was(answer: Answer) -> None:
    line = encode(answer)
    assert b"\n" not in line
    assert read_answer(line) == answer


def test_what_is_no_order_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_order(b'{"type": "Dance"}')
