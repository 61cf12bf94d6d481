"""The relay, over real sockets: every byte arrives, in order, at any speed, and every kind of end is passed on."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.dispatcher import BUFFER, READ, Dispatcher
from proxy.relay import End, Relay
from tests.proxy.sockets import Tls, dispatching, read, read_all, read_exactly, tcp_pair, until, write

MEBIBYTE = 1024 * 1024


class Owner:
    """Keeps what a relay tells its owner."""

    def __init__(self) -> None:
        self.closed_by: list[str] = []
        self.half: list[Relay] = []

    def half_closed(self, relay: Relay) -> None:
        self.half.append(relay)

    def ended(self, relay: Relay, closed_by: str) -> None:
        self.closed_by.append(closed_by)


class Bench:
    """A relay between two connections: `client` and `backend` are the far ends, `owner` what it reports to."""

    def __init__(self, dispatcher: Dispatcher, tls: Tls | None, *, backend_tls: bool = False) -> None:
        self.client, near_client = tcp_pair()
        self.backend, near_backend = tcp_pair()
        self.near_client, self.near_backend = near_client, near_backend
        if tls is not None:
            self.client, near_client = tls.wrapped(self.client, near_client)
            if backend_tls:
                near_backend, self.backend = tls.wrapped(near_backend, self.backend)
        self.owner = Owner()
        self.metered = [0, 0]
        self.relay = Relay(dispatcher, self.owner)
        self._dispatcher = dispatcher
        self._near = near_client, near_backend

    def start(self, to_client: bytes = b"", to_backend: bytes = b"") -> None:
        """Watch both sockets, as login would have, and splice them."""
        ends = [End(self.relay, sock, READ, self._meter(side)) for side, sock in enumerate(self._near)]
        for end in ends:
            self._dispatcher.register(end.fd, end, READ)
        self.relay.start(ends[0], ends[1], to_client, to_backend)

    def close(self) -> None:
        """Close the far ends."""
        self.client.close()
        self.backend.close()

    def _meter(self, side: int):  # type: ignore[no-untyped-def]
        def count(amount: int) -> None:
            self.metered[side] += amount

        return count


@pytest.fixture(params=["clear", "tls", "tls to both"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with dispatching() as dispatcher:
        tls = None if request.param == "clear" else Tls(tmp_path)
        bench = Bench(dispatcher, tls, backend_tls=request.param == "tls to both")
        yield bench
        bench.close()


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Bench]:
    async with dispatching() as dispatcher:
        bench = Bench(dispatcher, Tls(tmp_path))
        yield bench
        bench.close()


async def test_bytes_go_both_ways_and_are_counted(bench: Bench) -> None:
    bench.start()
    await write(bench.client, b"a NOOP\r\n")
    assert await read(bench.backend) == b"a NOOP\r\n"
    await write(bench.backend, b"a OK\r\n")
    assert await read(bench.client) == b"a OK\r\n"
    assert (bench.relay.client.received, bench.relay.backend.received) == (8, 6)
    assert bench.metered == [8, 6]


async def test_what_login_had_received_comes_first(bench: Bench) -> None:
    await write(bench.client, b"c NOOP\r\n")
    bench.start(b"a OK logged in\r\n* 1 EXISTS\r\n", b"b NOOP\r\n")
    assert await read_exactly(bench.backend, 16) == b"b NOOP\r\nc NOOP\r\n"
    assert await read_exactly(bench.client, 28) == b"a OK logged in\r\n* 1 EXISTS\r\n"


async def test_full_duplex_bulk_data_arrives_unchanged_at_a_slow_reader(bench: Bench) -> None:
    for sock in (bench.near_client, bench.near_backend):
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    bench.start()
    dice = random.Random(7)
    sent = {side: dice.randbytes(3 * MEBIBYTE) for side in ("up", "down")}

    async def pour(sock: socket.socket, data: bytes) -> None:
        position = 0
        while position < len(data):
            size = dice.choice((1, 100, 1400, 16384, 16385, 70000, 300000))
            await write(sock, data[position : position + size])
            position += size

    async def sip(sock: socket.socket, count: int) -> str:
        digest, got = hashlib.sha256(), 0
        while got < count:
            piece = await read(sock, dice.choice((10, 4096, 65536)))
            assert piece
            digest.update(piece)
            got += len(piece)
        return digest.hexdigest()

    up, down, _, _ = await asyncio.gather(
        sip(bench.backend, len(sent["up"])),
        sip(bench.client, len(sent["down"])),
        pour(bench.client, sent["up"]),
        pour(bench.backend, sent["down"]),
    )
    assert up == hashlib.sha256(sent["up"]).hexdigest()
    assert down == hashlib.sha256(sent["down"]).hexdigest()
    assert not bench.relay.client.leftover
    assert not bench.relay.backend.leftover


async def test_a_client_that_does_not_read_stops_the_backend_and_costs_bounded_memory(bench: Bench) -> None:
    bench.start()
    poured = await fill(bench)
    stuck = 0
    while stuck < 100:  # turns in which the backend could say nothing more
        taken = await write_some(bench.backend)
        stuck, poured = 0 if taken else stuck + 1, poured + taken
    assert 0 < len(bench.relay.client.leftover) <= BUFFER
    assert poured < 64 * MEBIBYTE
    await write(bench.client, b"still heard\r\n")
    assert await read(bench.backend) == b"still heard\r\n"


async def test_the_backends_end_reaches_the_client_behind_everything_it_said(bench: Bench) -> None:
    bench.start()
    words = bytes(range(256)) * 8192
    await asyncio.gather(write_and_close(bench.backend, words), expect(bench.client, words))
    assert bench.owner.closed_by == ["backend"]


async def write_and_close(sock: socket.socket, data: bytes) -> None:
    await write(sock, data)
    sock.close()


async def expect(sock: socket.socket, data: bytes) -> None:
    assert await read_all(sock) == data


async def test_the_last_words_survive_what_the_client_is_still_sending(secured: Bench) -> None:
    secured.start()
    await write(secured.backend, b"* BYE disconnected for inactivity\r\n")
    secured.backend.close()
    await until(lambda: secured.owner.closed_by)
    await write(secured.client, b"a NOOP\r\n" * 1000)
    assert await read_all(secured.client) == b"* BYE disconnected for inactivity\r\n"


async def test_a_clients_half_close_is_passed_on_and_the_backend_may_finish(bench: Bench) -> None:
    bench.start()
    await write(bench.client, b"a LOGOUT\r\n")
    if isinstance(bench.client, ssl.SSLSocket):
        with pytest.raises(ssl.SSLWantReadError):
            bench.client.unwrap()
    else:
        bench.client.shutdown(socket.SHUT_WR)
    assert await read_exactly(bench.backend, 10) == b"a LOGOUT\r\n"
    await until(lambda: bench.owner.half)
    assert bench.owner.closed_by == []
    await write(bench.backend, b"* BYE\r\na OK\r\n")
    bench.backend.close()
    assert await read_all(bench.client) == b"* BYE\r\na OK\r\n"
    assert bench.owner.closed_by == ["client"]


async def test_the_client_gets_a_close_notify(secured: Bench) -> None:
    secured.start()
    secured.backend.close()
    assert await read(secured.client) == b""
    assert isinstance(secured.client, ssl.SSLSocket)
    secured.client.unwrap()  # would fail or wait without the peer's close_notify


@pytest.mark.parametrize("side", ["client", "backend"])
async def test_a_reset_of_either_side_ends_the_session(bench: Bench, side: str) -> None:
    bench.start()
    reset(getattr(bench, side))
    await until(lambda: bench.owner.closed_by)
    assert bench.owner.closed_by == [side]


async def test_a_reset_client_ends_the_session_while_the_backend_is_paused(bench: Bench) -> None:
    bench.start()
    await fill(bench)
    reset(bench.client)
    await until(lambda: bench.owner.closed_by)
    assert bench.owner.closed_by == ["client"]


async def test_what_a_reset_backend_had_said_still_reaches_a_slow_client(secured: Bench) -> None:
    secured.start()
    sent = await fill(secured)
    reset(secured.backend)
    data = await read_all(secured.client)
    assert len(data) >= BUFFER
    assert len(data) <= sent
    await until(lambda: secured.owner.closed_by)
    assert secured.owner.closed_by == ["backend"]


async def test_a_backend_that_takes_nothing_any_more_is_still_read_to_its_end(secured: Bench) -> None:
    secured.start()
    await write(secured.backend, b"* BYE shutting down\r\n")
    secured.backend.close()
    await write(secured.client, b"a NOOP\r\n" * 100)
    assert await read_all(secured.client) == b"* BYE shutting down\r\n"
    assert secured.owner.closed_by == ["backend"]


async def test_a_kick_closes_both_sides_once(bench: Bench) -> None:
    bench.start()
    bench.relay.end("kick")
    bench.relay.end("again")
    assert bench.owner.closed_by == ["kick"]
    assert await read_all(bench.client) == b""
    assert await read_all(bench.backend) == b""


async def test_an_error_of_ours_ends_one_session(bench: Bench) -> None:
    bench.start()
    bench.relay.client.abort()
    assert bench.owner.closed_by == ["internal"]


async def test_records_of_every_size_pass(secured: Bench) -> None:
    secured.start()
    for size in (1, 16383, 16384, 16385, 65536, 65537):
        await write(secured.client, bytes(size))
        assert len(await read_exactly(secured.backend, size)) == size
        await write(secured.backend, bytes(size))
        assert len(await read_exactly(secured.client, size)) == size


def reset(sock: socket.socket) -> None:
    """Close with a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


async def fill(bench: Bench) -> int:
    """Let the backend say so much that the client's side is stuck; how much that was."""
    sent = 0
    while not bench.relay.client.leftover:
        sent += await write_some(bench.backend)
    return sent


async def write_some(sock: socket.socket) -> int:
    try:
        return sock.send(bytes(65536))
    except (BlockingIOError, ssl.SSLWantWriteError):
        await asyncio.sleep(0)
        return 0
