"""Clients that mean no good, or are hopelessly slow: each is to be cut off, and to do no harm until then."""

from __future__ import annotations

import socket
from contextlib import suppress

from loadtest.fleet.clients import Visitor
from loadtest.fleet.connection import Connection
from loadtest.fleet.hearing import Trouble
from loadtest.fleet.readers import opened
from proxy.protocols.wire import EndOfStream, WireFailure

FOREVER = 86_400.0

DRIP = 2.0
"""Seconds between two bytes of a slowloris."""

GULP = 1024
"""Bytes that a slow reader takes in one go, about once a second."""

BIG = 64
"""Times that a slow reader asks for its whole mailbox before it reads any of it."""

SMALL_BUFFER = 4096
"""Bytes of a slow reader's receive buffer, as far as the kernel allows so few."""

CLIENT_HELLO = bytes.fromhex("16030100ff010000fb0303")
"""The beginning of a ClientHello, which promises 255 bytes."""


async def silent(visitor: Visitor) -> None:
    """Connect, and say nothing at all."""
    await _wait_for_the_end(visitor, await visitor.connect("imap"))


async def half_tls(visitor: Visitor) -> None:
    """Begin a handshake, and stop in the middle of it."""
    connection = await visitor.connect("imap")
    await connection.send(CLIENT_HELLO)
    await _wait_for_the_end(visitor, connection)


async def garbage(visitor: Visitor) -> None:
    """Noise instead of TLS, or in TLS instead of IMAP."""
    connection = await visitor.connect("imap")
    inside = visitor.random.random() < 0.5
    if inside:
        await visitor.encrypt()
    with suppress(EndOfStream):
        for _ in range(10):
            await connection.send(visitor.random.randbytes(100).replace(b"\n", b"") + b"\r\n")
    await _wait_for_the_end(visitor, connection)


async def slowloris(visitor: Visitor) -> None:
    """A byte of a LOGIN every few seconds."""
    connection = await visitor.connect("imap")
    await visitor.encrypt()
    visitor.be("hostile")
    began = visitor.fleet.engine.now()
    try:
        for letter in f"a LOGIN {'x' * 4000}":
            await connection.send(letter.encode())
            await _wait(visitor, connection, visitor.around(DRIP))
    except EndOfStream:
        pass
    _cut_off(visitor, began)


async def slow_reader(visitor: Visitor) -> None:
    """Log in, ask for much, and read it a few bytes at a time."""
    session = await opened(visitor)
    visitor.be("hostile")
    connection = visitor.connection
    assert connection is not None  # noqa: S101 (logged in)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    await session.ask_only(b"FETCH 1:* BODY.PEEK[]", BIG)
    for _ in range(100_000):
        await visitor.fleet.engine.sleep(visitor.around(1.0))
        await connection.sip(GULP)
        visitor.fleet.tally.count("sipped")


async def _wait(visitor: Visitor, connection: Connection, seconds: float) -> None:
    """Whatever the server says meanwhile, except that it closes."""
    until = visitor.fleet.engine.now() + seconds
    while await connection.heard(until):
        connection.forget()


async def _wait_for_the_end(visitor: Visitor, connection: Connection) -> None:
    """Until the server closes."""
    visitor.be("hostile")
    began = visitor.fleet.engine.now()
    with suppress(WireFailure):
        await _wait(visitor, connection, FOREVER)
    _cut_off(visitor, began)


def _cut_off(visitor: Visitor, began: float) -> None:
    """The server has closed; whether that was soon enough."""
    seconds = visitor.fleet.engine.now() - began
    most = visitor.fleet.scenario.limits.cut_off
    visitor.fleet.tally.count("cut off")
    visitor.fleet.tally.longest("cut off", seconds)
    if most and seconds > most:
        raise Trouble(f"hostile: {visitor.client.behaviour} was let stay", f"for {seconds:.1f} s")
