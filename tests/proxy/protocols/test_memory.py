"""The wire of tests and tools."""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING

import pytest

from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.wire import EndOfStream, TlsFailure

if TYPE_CHECKING:
    from collections.abc import Generator


def test_chunks_are_taken_only_when_they_are_needed() -> None:
    wire = MemoryWire([b"one\r\ntw", b"o\r\n", b"12345"])
    assert run(wire.line(10)) == b"one"
    assert wire.consumed == 1
    assert run(wire.line(10)) == b"two"
    assert run(wire.exactly(3)) == b"123"
    assert (wire.consumed, wire.rest()) == (3, b"45")


def test_what_was_not_delivered_is_left_too() -> None:
    wire = MemoryWire([b"one\r\ntwo", None, b"three"])
    run(wire.line(10))
    assert wire.rest() == b"twothree"


def test_what_is_sent_is_kept() -> None:
    wire = MemoryWire([])
    run(wire.send(b"one"))
    run(wire.send(b"two"))
    assert wire.sent == [b"one", b"two"]


def test_the_end_of_the_chunks_is_the_end_of_the_stream() -> None:
    with pytest.raises(EndOfStream):
        run(MemoryWire([b"no end"]).line(10))


def test_nothing_is_read_across_a_handshake() -> None:
    wire = MemoryWire([b"", None, b"inside\r\n"])
    with pytest.raises(EndOfStream):
        run(wire.exactly(1))


def test_tls_starts_where_the_peer_starts_it() -> None:
    wire = MemoryWire([b"STARTTLS\r\n", None, b"inside\r\n"], certificate_user="alice")
    run(wire.line(10))
    assert not wire.secure
    run(wire.start_tls())
    assert wire.secure
    assert wire.certificate_user == "alice"
    assert run(wire.line(10)) == b"inside"


@pytest.mark.parametrize("chunks", [[b"STARTTLS\r\nx", None], [b"STARTTLS\r\n", b"x", None], [b"STARTTLS\r\n"]])
def test_tls_does_not_start_before_unread_bytes_or_without_the_peer(chunks: list[bytes | None]) -> None:
    wire = MemoryWire(chunks)
    run(wire.line(10))
    with pytest.raises(TlsFailure):
        run(wire.start_tls())


@coroutine
def forever() -> Generator[None, None, None]:
    yield


async def waits() -> None:
    await forever()


def test_a_conversation_that_suspends_is_an_error_of_the_test() -> None:
    with pytest.raises(RuntimeError, match="suspended"):
        run(waits())
