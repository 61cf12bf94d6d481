"""A stream is cut into messages wherever the network has cut it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.client.ber import BerError, wrap
from ldapmap.client.stream import Stream

LIMIT = 70_000


def stream() -> Stream[bytes]:
    return Stream(LIMIT, lambda data, start, stop: data[start:stop])


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_messages_come_out_whole_whatever_the_pieces(messages: list[bytes], sizes: list[int]) -> None:
    data = b"".join(wrap(b"\x30", message) for message in messages)
    cut, at, received = stream(), 0, list[bytes]()
    while at < len(data):
        size = sizes[at % len(sizes)]
        received += cut.feed(data[at : at + size])
        at += size
    assert received == messages
    assert cut.empty


def test_an_unfinished_message_is_waited_for() -> None:
    cut = stream()
    message = wrap(b"\x30", bytes(65_536))
    assert cut.feed(message[:-1]) == []
    assert not cut.empty
    assert cut.feed(message[-1:]) == [bytes(65_536)]
    assert cut.empty


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x31\x00", "begins with 0x31"),
        (b"\x30\x80", "indefinite or too long"),
        (b"\x30\x85", "indefinite or too long"),
        (b"\x30\x83\x01\x11\x71", "longer than 70000"),
    ],
)
def test_what_is_no_message_or_too_long_is_refused_before_it_has_come(data: bytes, complaint: str) -> None:
    with pytest.raises(BerError, match=complaint):
        stream().feed(data)
