from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from loadtest.fleet.connection import Connection
from loadtest.fleet.engine import Engine
from loadtest.fleet.ground import Ground
from loadtest.fleet.process import client_context
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure

Talk = Callable[[Connection, tuple[str, int]], Coroutine[Any, Any, None]]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.end()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def talk(engine: Engine, server: socket.socket, client: Talk, answer: Callable[[socket.socket], None]) -> None:
    """One connection: `client` on our side, `answer` on the other, in a thread of its own."""

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            answer(peer)

    thread = threading.Thread(target=serve)
    thread.start()

    async def job() -> None:
        connection = Connection(engine, patience=20.0)
        try:
            await client(connection, server.getsockname())
        finally:
            connection.close()
            connection.close()

    engine.spawn(job())
    try:
        engine.run()
    finally:
        thread.join()


def test_lines_and_counts_come_as_they_were_sent(engine: Engine, server: socket.socket) -> None:
    seen: list[object] = []

    async def client(connection: Connection, address: tuple[str, int]) -> None:
        await connection.connect(address, "127.16.1.7")
        await connection.send(b"hello\r\n")
        seen.extend([await connection.line(), await connection.exactly(100_000), await connection.line()])
        seen.append(await connection.heard(engine.now()))
        seen.append((connection.sent, connection.received))

    def answer(peer: socket.socket) -> None:
        seen.append(peer.getpeername()[0])
        peer.recv(100)
        peer.sendall(b"one\r\n" + b"x" * 100_000 + b"two\r\n")
        peer.recv(100)

    talk(engine, server, client, answer)
    assert seen == ["127.16.1.7", b"one", b"x" * 100_000, b"two", False, (7, 100_010)]


def test_the_end_and_silence_are_told_apart(engine: Engine, server: socket.socket) -> None:
    async def client(connection: Connection, address: tuple[str, int]) -> None:
        await connection.connect(address)
        connection.patience = 0.0
        await connection.send(b"x")
        with pytest.raises(Expired):
            await connection.line()
        connection.patience = 20.0
        await connection.send(b"y")
        with pytest.raises(EndOfStream):
            await connection.line()

    def answer(peer: socket.socket) -> None:
        while b"y" not in peer.recv(10):
            pass

    talk(engine, server, client, answer)


def test_nobody_at_home_is_the_end(engine: Engine) -> None:
    async def job() -> None:
        connection = Connection(engine)
        with pytest.raises(EndOfStream, match="refused"):
            await connection.connect(("127.0.0.1", 1))
        connection.vanish()

    engine.spawn(job())
    engine.run()


def test_a_server_that_speaks_no_tls_is_told(engine: Engine, server: socket.socket) -> None:
    async def client(connection: Connection, address: tuple[str, int]) -> None:
        await connection.connect(address)
        with pytest.raises(TlsFailure):
            await connection.start_tls(client_context(""), "localhost")

    def answer(peer: socket.socket) -> None:
        peer.sendall(b"* OK hello\r\n")
        peer.recv(10_000)

    talk(engine, server, client, answer)


def test_what_comes_while_nobody_waits_is_kept_and_an_end_as_well(engine: Engine, server: socket.socket) -> None:
    async def client(connection: Connection, address: tuple[str, int]) -> None:
        await connection.connect(address)
        await connection.send(b"x")
        assert await connection.line() == b"one"
        assert await connection.line() == b"two"
        with pytest.raises(EndOfStream):
            await connection.line()
        connection.farewell(b"bye")

    def answer(peer: socket.socket) -> None:
        peer.recv(1)
        peer.sendall(b"one\r\ntwo\r\n")

    talk(engine, server, client, answer)


def test_tls_is_resumed_when_the_server_allows_it(engine: Engine, ground: Ground) -> None:
    context, target = client_context(ground.target.ca), ground.target
    resumed: list[bool] = []

    async def visit(session: object) -> object:
        connection = Connection(engine)
        await connection.connect((target.address, target.ports["imap"]))
        await connection.start_tls(context, target.name, session)  # type: ignore[arg-type]
        await connection.line()
        resumed.append(connection.resumed)
        ticket = connection.session
        connection.vanish()
        return ticket

    async def job() -> None:
        await visit(await visit(None))

    engine.spawn(job())
    engine.run()
    assert resumed == [False, True]
