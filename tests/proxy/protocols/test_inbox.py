"""The buffer of what was received."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import BareNewline, LineTooLong

from .strategies import MANY


def inbox(data: bytes) -> Inbox:
    filled = Inbox()
    filled.feed(data)
    return filled


def test_lines_come_without_their_ends() -> None:
    received = inbox(b"one\r\n\r\ntwo\r\nthr")
    assert [received.take_line(10) for _ in range(4)] == [b"one", b"", b"two", None]
    received.feed(b"ee\r\n")
    assert received.take_line(10) == b"three"
    assert len(received) == 0


def test_a_carriage_return_within_a_line_belongs_to_it() -> None:
    assert inbox(b"a\rb\r\r\n").take_line(10) == b"a\rb\r"


def test_a_bare_newline_consumes_its_line() -> None:
    received = inbox(b"one\ntwo\r\n")
    with pytest.raises(BareNewline):
        received.take_line(10)
    assert received.take_line(10) == b"two"


@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_a_line_over_the_limit_is_refused_before_its_end_comes(end: bytes) -> None:
    with pytest.raises(LineTooLong):
        inbox(b"x" * 12 + end).take_line(10)


def test_a_line_of_the_limit_is_taken() -> None:
    received = inbox(b"x" * 10 + b"\r")
    assert received.take_line(10) is None
    received.feed(b"\n")
    assert received.take_line(10) == b"x" * 10


def test_what_is_too_long_stays_unread() -> None:
    received = inbox(b"x" * 12)
    with pytest.raises(LineTooLong):
        received.take_line(10)
    assert received.drain() == b"x" * 12


def test_exact_counts_are_taken_whole_or_not_at_all() -> None:
    received = inbox(b"12345")
    assert received.take(6) is None
    assert received.take(0) == b""
    assert received.take(4) == b"1234"
    assert received.drain() == b"5"
    assert received.drain() == b""


def outcomes(data: bytes, size: int, limit: int) -> list[bytes | str]:
    """Lines and failures of `data`, fed `size` bytes at a time."""
    received, found = Inbox(), list[bytes | str]()
    for at in range(0, len(data), size):
        received.feed(data[at : at + size])
        while True:
            try:
                line = received.take_line(limit)
            except BareNewline:
                found.append("bare")
                continue
            except LineTooLong:
                return [*found, "too long"]
            if line is None:
                break
            found.append(line)
    return found


@MANY
@given(st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b"x" * 9]), max_size=30).map(b"".join))
def test_it_does_not_matter_in_which_pieces_lines_arrive(data: bytes) -> None:
    whole = outcomes(data, max(len(data), 1), 10)
    assert outcomes(data, 1, 10) == outcomes(data, 3, 10) == whole
