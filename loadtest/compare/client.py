"""The clients of one process: thousands of IMAP sessions that are opened, used, kept and closed by orders.

They are meant to cost little and to judge nothing but "OK": what is measured is the product.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from loadtest.fleet.connection import Connection
from loadtest.fleet.engine import Engine
from loadtest.people import uid
from proxy.protocols.wire import EndOfStream, WireFailure
from tls import backend_context

PATIENCE = 120.0
"""Seconds a client waits for an answer, and for the whole of a bulk transfer."""

CHUNK = 65536
"""Bytes a client hands to TLS at once, unless small records are what is measured."""

MOVED = 262_144
"""Bytes that `move` sends each way."""

_PASSWORD = "secret"
_MOST_REASONS = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect: TLS 1.3 with a full handshake, or in clear."""

    port: int
    tls: bool = True
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Outcome:
    """What the clients of one order, or of several, saw: how long each thing took (s), and what failed."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    """Of the first few that were refused."""
    last: float = 0.0
    """When the last success was (time.monotonic)."""

    def add(self, other: Outcome) -> None:
        """Add what others saw."""
        self.seconds += other.seconds
        self.refused += other.refused
        self.reasons = (self.reasons + other.reasons)[:_MOST_REASONS]
        self.last = max(self.last, other.last)

    def succeeded(self, began: float) -> None:
        """Something that `began` then is done."""
        self.last = time.monotonic()
        self.seconds.append(self.last - began)

    def failed(self, reason: str) -> None:
        """Something was refused."""
        self.refused += 1
        if len(self.reasons) < _MOST_REASONS:
            self.reasons.append(reason)


class Client:
    """All sessions of one process. Every method does its order wholly before it returns."""

    def __init__(self, authority: Path) -> None:
        self._context = backend_context(authority, True)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._engine = Engine()
        self._sessions: deque[Connection] = deque()

    def visit(self, place: Place, count: int, at_once: int, first: int = 0) -> Outcome:
        """So many log in and out, `at_once` at a time: seconds of connect, handshake and LOGIN of each."""

        async def visit(number: int, outcome: Outcome) -> None:
            began = time.monotonic()
            connection = await self._logged_in(place, number)
            outcome.succeeded(began)
            await _ask(connection, b"z LOGOUT\r\n")
            connection.close()

        return self._each(iter(range(first, first + count)), at_once, visit)

    def open(self, place: Place, count: int, at_once: int, first: int = 0, idle: bool = False) -> Outcome:
        """So many log in and stay, in IDLE (RFC 2177) if `idle`: seconds as for `visit`."""

        async def come(number: int, outcome: Outcome) -> None:
            began = time.monotonic()
            connection = await self._logged_in(place, number)
            outcome.succeeded(began)
            if idle:
                await _begin_idle(connection)
            self._sessions.append(connection)

        return self._each(iter(range(first, first + count)), at_once, come)

    def close(self) -> Outcome:
        """All who stayed leave."""
        while self._sessions:
            self._sessions.pop().close()
        return self._each(iter(()), 1, None)

    def noop(self, each: int) -> Outcome:
        """Every session asks NOOP so often, one after the other: seconds of each."""

        async def talk(connection: Connection, outcome: Outcome) -> None:
            for _ in range(each):
                began = time.monotonic()
                await _ask(connection, b"n NOOP\r\n")
                outcome.succeeded(began)

        return self._all(talk)

    def receive(self, size: int) -> Outcome:
        """Every session is sent so many bytes, all at the same time."""

        async def receive(connection: Connection, outcome: Outcome) -> None:
            began = time.monotonic()
            await _receive(connection, size)
            outcome.succeeded(began)

        return self._all(receive)

    def send(self, size: int, chunk: int = CHUNK) -> Outcome:
        """Every session sends so many bytes, all at the same time, in writes of `chunk` bytes."""

        async def send(connection: Connection, outcome: Outcome) -> None:
            began = time.monotonic()
            await _send(connection, size, chunk)
            outcome.succeeded(began)

        return self._all(send)

    def move(self, size: int = MOVED) -> Outcome:
        """Every idle session moves so many bytes each way, few at a time, and is idle again."""

        async def move(connection: Connection, outcome: Outcome) -> None:
            began = time.monotonic()
            await connection.send(b"DONE\r\n")
            await _tagged(connection, b"i")
            await _receive(connection, size)
            await _send(connection, size, CHUNK)
            await _begin_idle(connection)
            outcome.succeeded(began)

        return self._each(iter(self._sessions), 16, move)

    def _all(self, act: Callable[[Connection, Outcome], Coroutine[None, None, None]]) -> Outcome:
        return self._each(iter(self._sessions), max(1, len(self._sessions)), act)

    def _each(
        self, items: Iterator[T], at_once: int, act: Callable[[T, Outcome], Coroutine[None, None, None]] | None
    ) -> Outcome:
        """Act on all items, so many at a time; a client that fails is counted, and the next one has its turn."""
        outcome = Outcome()

        async def work() -> None:
            for item in items:
                if act is not None:
                    try:
                        await act(item, outcome)
                    except (WireFailure, OSError) as failure:
                        outcome.failed(f"{type(failure).__name__}: {failure}")

        for _ in range(at_once):
            self._engine.spawn(work())
        self._engine.run()
        return outcome

    async def _logged_in(self, place: Place, number: int) -> Connection:
        connection = Connection(self._engine, patience=PATIENCE)
        try:
            await connection.connect((place.address, place.port))
            if place.tls:
                await connection.start_tls(self._context, "localhost")
            await connection.line()
            await _ask(connection, f"a LOGIN {uid(number)} {_PASSWORD}\r\n".encode())
        except BaseException:
            connection.close()
            raise
        return connection


async def _ask(connection: Connection, command: bytes) -> None:
    await connection.send(command)
    await _tagged(connection, command.partition(b" ")[0])


async def _tagged(connection: Connection, tag: bytes) -> None:
    """Read up to the tagged line; raises EndOfStream with it when it is not OK."""
    while not (line := await connection.line()).startswith(tag + b" "):
        pass
    if not line.startswith(tag + b" OK"):
        raise EndOfStream(line.decode(errors="replace"))


async def _begin_idle(connection: Connection) -> None:
    await connection.send(b"i IDLE\r\n")
    while not (await connection.line()).startswith(b"+"):
        pass


async def _receive(connection: Connection, size: int) -> None:
    await connection.send(b"d SEND %d\r\n" % size)
    left = size
    while left:
        left -= len(await connection.exactly(min(left, CHUNK)))
    await _tagged(connection, b"d")


async def _send(connection: Connection, size: int, chunk: int) -> None:
    await connection.send(b"u TAKE %d\r\n" % size)
    block, left = bytes(chunk), size
    while left:
        await connection.send(block[:left])
        left -= min(left, chunk)
    await _tagged(connection, b"u")
