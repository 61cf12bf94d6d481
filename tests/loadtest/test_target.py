"""The backend for measurements, over a transport that keeps what is written."""

from __future__ import annotations

import asyncio
from typing import Any

from loadtest.target import Target


class Kept(asyncio.Transport):
    """A transport without a connection; after `pause_at` bytes it asks for a pause."""

    def __init__(self, target: Target, pause_at: int = 1 << 40) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self._target = target
        self._pause_at = pause_at

    def write(self, data: Any) -> None:
        self.written += data
        if len(self.written) >= self._pause_at:
            self._pause_at = 1 << 40
            self._target.pause_writing()

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        taken = bytes(self.written)
        self.written.clear()
        return taken


def connected(pause_at: int = 1 << 40) -> tuple[Target, Kept]:
    target = Target()
    transport = Kept(target, pause_at)
    target.connection_made(transport)
    assert transport.take().startswith(b"* OK [CAPABILITY IMAP4rev1")
    return target, transport


def test_commands_are_answered_however_they_arrive() -> None:
    target, transport = connected()
    for byte in b"a LOGIN x y\r\nb NOOP\r\n":
        target.data_received(bytes([byte]))
    assert transport.take() == b"a OK done\r\nb OK done\r\n"


def test_so_many_bytes_are_sent() -> None:
    target, transport = connected()
    target.data_received(b"s SEND 100000\r\n")
    assert transport.take() == bytes(100000) + b"\r\ns OK done\r\n"


def test_a_pause_is_kept() -> None:
    target, transport = connected(pause_at=65536 + 200)
    target.data_received(b"s SEND 300000\r\n")
    first = transport.take()
    assert len(first) < 300000
    target.resume_writing()
    assert first + transport.take() == bytes(300000) + b"\r\ns OK done\r\n"


def test_so_many_bytes_are_taken_and_what_follows_is_a_command() -> None:
    target, transport = connected()
    target.data_received(b"t TAKE 10\r\n12345")
    assert transport.take() == b""
    target.data_received(b"67890n NOOP\r\n")
    assert transport.take() == b"t OK done\r\nn OK done\r\n"


def test_logout_closes() -> None:
    target, transport = connected()
    target.data_received(b"z LOGOUT\r\n")
    assert (transport.take(), transport.closed) == (b"* BYE\r\nz OK done\r\n", True)


def test_synchronising_literals_are_asked_for_one_by_one() -> None:
    target, transport = connected()
    target.data_received(b"a LOGIN {5}\r\n")
    assert transport.take() == b"+ go on\r\n"
    target.data_received(b"al")
    target.data_received(b"ice {2}\r\n")
    assert transport.take() == b"+ go on\r\n"
    target.data_received(b"\r\n\r\n")
    assert transport.take() == b"a OK done\r\n"


def test_other_literals_are_simply_taken() -> None:
    target, transport = connected()
    target.data_received(b"a LOGIN {5+}\r\nalice {3+}\r\na}{\r\nb NOOP\r\n")
    assert transport.take() == b"a OK done\r\nb OK done\r\n"


def test_sasl_plain_comes_with_or_without_an_initial_response() -> None:
    target, transport = connected()
    target.data_received(b"a AUTHENTICATE PLAIN AGEAYg==\r\n")
    assert transport.take() == b"a OK done\r\n"
    target.data_received(b"b authenticate PLAIN\r\n")
    assert transport.take() == b"+ \r\n"
    target.data_received(b"AGEAYg==\r\n")
    assert transport.take() == b"b OK done\r\n"


def test_idle_ends_with_done() -> None:
    target, transport = connected()
    target.data_received(b"i IDLE\r\n")
    assert transport.take() == b"+ \r\n"
    target.data_received(b"DONE\r\nn NOOP\r\n")
    assert transport.take() == b"i OK done\r\nn OK done\r\n"


def test_it_tells_what_it_can_and_no_name() -> None:
    target, transport = connected()
    target.data_received(b"c CAPABILITY\r\nd ID NIL\r\n")
    answer = transport.take()
    assert answer.startswith(b"* CAPABILITY IMAP4rev1 ")
    assert b"STARTTLS" not in answer
    assert answer.endswith(b"c OK done\r\n* ID NIL\r\nd OK done\r\n")
