"""The relay, over real sockets: every byte arrives, in order, at any speed, and every kind of end is passed on."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        self.dispatcher = dispatcher
        self._near = near_client, near_backend

    def start(self, to_client: bytes = b"", to_backend: bytes = b"") -> None:
        """Watch both sockets, as login would have, and splice them."""
        ends = [End(self.relay, sock, READ, self._meter(side)) for side, sock in enumerate(self._near)]
        for end in ends:
            self.dispatcher.register(end.fd, end, READ)
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
    half_close(bench.client)
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


# --- the end between two responses ---

BYE = b"* BYE [UNAVAILABLE] later\r\n"


class Script:
    """A relay that is fed piece by piece, without a network."""

    def __init__(self, to_client: bytes = b"", to_backend: bytes = b"") -> None:
        self._piece = b""
        self._idle = tcp_pair()
        buffer = memoryview(bytearray(BUFFER))
        dispatcher = SimpleNamespace(buffer=buffer, hand_over=self._ignore, modify=self._ignore)
        self.relay = Relay(cast(Dispatcher, dispatcher), Owner())
        ends = [End(self.relay, self._socket(sock), READ, lambda count: None) for sock in self._idle]
        self.relay.start(ends[0], ends[1], to_client, to_backend)

    def client(self, *pieces: bytes) -> bool:
        """The client says this; whether the session is between two responses then."""
        return self._feed(self.relay.client, pieces)

    def backend(self, *pieces: bytes) -> bool:
        """The backend says this."""
        return self._feed(self.relay.backend, pieces)

    def close(self) -> None:
        """Give the descriptors back."""
        for sock in self._idle:
            sock.close()

    def _feed(self, end: End, pieces: tuple[bytes, ...]) -> bool:
        for self._piece in pieces:
            end.ready(READ)
        return self.relay.between_responses()

    def _socket(self, sock: socket.socket) -> socket.socket:
        return cast(socket.socket, SimpleNamespace(fileno=sock.fileno, recv_into=self._receive, send=len))

    def _receive(self, buffer: memoryview) -> int:
        buffer[: len(self._piece)] = self._piece
        return len(self._piece)

    def _ignore(self, *_: object) -> None:
        pass


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script(b"a OK Logged in\r\n")
    yield script
    script.close()


def test_after_a_login_a_session_is_between_two_responses(script: Script) -> None:
    assert script.relay.between_responses()


@pytest.mark.parametrize(
    ("to_client", "to_backend", "between"),
    [
        (b"a OK\r\n* 3 EXISTS\r\n", b"", True),
        (b"a OK\r\n* 3 EXI", b"", False),
        (b"a OK\r\n* OK {9}\r\n", b"", False),
        (b"a OK\r\n", b"b NOOP\r\n", False),
        (b"a OK\r\n", b"b NO", False),
    ],
)
def test_what_login_had_left_over_counts(to_client: bytes, to_backend: bytes, between: bool) -> None:
    script = Script(to_client, to_backend)
    assert script.relay.between_responses() == between
    script.close()


def test_a_command_is_outstanding_until_its_answer_is_there(script: Script) -> None:
    assert not script.client(b"b NOOP\r\n")
    assert not script.backend(b"b OK do")
    assert not script.backend(b"ne\r\n")  # not followed so closely
    assert not script.client(b"c NOOP\r\n")
    assert script.backend(b"c OK done\r\n")


def test_an_idle_session_is_between_two_responses(script: Script) -> None:
    assert not script.client(b"b IDLE\r\n")
    assert script.backend(b"+ idling\r\n")
    assert script.backend(b"* 5 EXISTS\r\n", b"* 1 RECENT\r\n")
    assert not script.client(b"DONE\r\n")
    assert script.backend(b"b OK\r\n")


def test_a_client_that_has_said_half_a_line_is_not_disturbed(script: Script) -> None:
    assert not script.client(b"b NO")
    assert not script.backend(b"* 5 EXISTS\r\n")


def test_an_upload_is_not_disturbed(script: Script) -> None:
    script.client(b"b APPEND INBOX {3000}\r\n")
    assert script.backend(b"+ OK\r\n")
    assert not script.client(b"Subject: x\r\n")
    assert not script.client(b"x" * 2000)
    assert not script.client(b"y" * 988, b"\r\n")
    assert script.backend(b"b OK\r\n")


def test_behind_a_long_piece_nothing_is_taken_for_a_response_until_the_next_command(script: Script) -> None:
    script.client(b"b FETCH 1 BODY[]\r\n")
    assert not script.backend(b"* 1 FETCH (BODY[] {3000}\r\n" + b"x" * 1024)
    assert not script.backend(b"Subject: x\r\n")
    assert not script.backend(b"x" * 886 + b"\r\n)\r\nb OK\r\n")
    script.client(b"c NOOP\r\n")
    assert script.backend(b"c OK\r\n")


def test_a_long_piece_is_not_looked_at(script: Script) -> None:
    script.client(b"b FETCH 1:999 FLAGS\r\n")
    assert not script.backend(b"* 1 FETCH (FLAGS ())\r\n" * 100 + b"b OK\r\n")


def test_what_zlib_has_flushed_is_no_line(script: Script) -> None:
    script.client(b"b COMPRESS DEFLATE\r\n")
    script.backend(b"b OK\r\n")
    squeeze = zlib.compressobj(wbits=-15)
    for number in range(100):
        said = squeeze.compress(b"c%d NOOP\r\n" % number) + squeeze.flush(zlib.Z_SYNC_FLUSH)
        assert not script.client(said)
        assert not script.backend(said)


@dataclass(frozen=True)
class Exchange:
    """A command in the pieces the network made of it, and the answer with the places in it that are between lines."""

    command: tuple[bytes, ...]
    answer: tuple[bytes, ...]
    ends: frozenset[int]


TREACHEROUS = st.lists(st.sampled_from([b"\r\n", b"* 1 EXISTS\r\n", b"a OK\r\n", b"x", b"}", b"\r", b"\n"])).map(
    b"".join
)
LINES = st.sampled_from([b"* 5 EXISTS\r\n", b"+ OK\r\n", b"a OK done\r\n", b"* OK {3} is no literal, }\r\n"])


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> tuple[bytes, ...]:
    """What a network may make of this."""
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data))))})
    return tuple(data[start:end] for start, end in itertools.pairwise(cuts))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """A client sends a command, perhaps with a literal, and hears lines and literals."""
    command = draw(st.sampled_from([b"a NOOP\r\n", b"a APPEND x {9+}\r\n", b"a SELECT }\r\n"]))
    if b"APPEND" in command:
        command += draw(TREACHEROUS) + b"\r\n"
    answer: tuple[bytes, ...] = ()
    ends, end = {0}, 0
    for line in draw(st.lists(st.one_of(LINES, st.none()), min_size=1, max_size=4)):
        head, tail = (b"", line) if line is not None else fetched(draw(TREACHEROUS))
        answer += (*((head,) if head else ()), *draw(pieces(tail)))
        end += len(head) + len(tail)
        ends.add(end)
    return Exchange(draw(pieces(command)), answer, frozenset(ends))


def fetched(data: bytes) -> tuple[bytes, bytes]:
    """A response with a literal: the piece that comes first, as servers fill their buffers, and the rest."""
    data = b"x" * 1024 + data
    head, tail = b"* 1 FETCH (BODY[] {%d}\r\n%b" % (len(data), data[:1024]), data[1024:]
    return head, tail + b" FLAGS ())\r\n"


@given(st.lists(exchanges(), max_size=5))
def test_a_farewell_is_never_within_a_line_or_a_literal(story: list[Exchange]) -> None:
    script = Script(b"a OK Logged in\r\n")
    for exchange in story:
        assert not script.client(*exchange.command)
        got = 0
        for piece in exchange.answer:
            got += len(piece)
            assert not script.backend(piece) or got in exchange.ends
    script.close()


async def test_an_idle_client_hears_the_farewell(bench: Bench) -> None:
    bench.start(b"a OK\r\n")
    await until(bench.relay.between_responses)  # TLS may have had something to say
    bench.relay.end_quietly("kick", BYE, 0.0, 0.0)
    assert await read_all(bench.client) == b"a OK\r\n" + BYE
    assert await read_all(bench.backend) == b""
    assert bench.owner.closed_by == ["kick"]


async def test_a_client_that_waits_for_an_answer_gets_it_first(bench: Bench) -> None:
    bench.start(b"a OK\r\n", b"b NOOP\r\n")
    bench.relay.end_quietly("kick", BYE, 0.0, bench.dispatcher.now() + 3600)
    bench.dispatcher.sweep()
    assert not bench.relay.over
    await write(bench.backend, b"b OK\r\n")
    await until(bench.relay.between_responses)
    while not bench.relay.over:  # the answer has moved: it is looked at once more
        bench.dispatcher.sweep()
    assert await read_all(bench.client) == b"a OK\r\nb OK\r\n" + BYE


async def test_what_has_come_and_has_not_been_read_is_not_lost(bench: Bench) -> None:
    bench.start(b"a OK\r\n")
    await until(bench.relay.between_responses)
    bench.backend.send(b"* 5 EXISTS\r\n")
    assert not bench.relay.between_responses()


async def test_within_a_response_the_client_hears_nothing(bench: Bench) -> None:
    bench.start(b"a OK\r\n* 1 FETCH (BODY[] {9}\r\n")
    bench.relay.end_quietly("kick", BYE, 0.0, 0.0)
    assert await read_all(bench.client) == b"a OK\r\n* 1 FETCH (BODY[] {9}\r\n"
    assert bench.owner.closed_by == ["kick"]


async def test_a_client_that_has_closed_its_direction_hears_nothing(bench: Bench) -> None:
    bench.start(b"a OK\r\n")
    await read_exactly(bench.client, 6)
    half_close(bench.client)
    await until(lambda: bench.owner.half)
    assert not bench.relay.between_responses()
    bench.relay.end("test over")


def half_close(sock: socket.socket) -> None:
    """Say that nothing more will be said."""
    if isinstance(sock, ssl.SSLSocket):
        with pytest.raises(ssl.SSLWantReadError):
            sock.unwrap()
    else:
        sock.shutdown(socket.SHUT_WR)


async def test_a_session_that_is_over_is_not_ended_again(bench: Bench) -> None:
    bench.start(b"a OK\r\n")
    bench.relay.end("backend")
    bench.relay.end_quietly("kick", BYE, 0.0, 0.0)
    bench.relay.end("kick", BYE)
    assert bench.owner.closed_by == ["backend"]
    assert await read_all(bench.client) == b"a OK\r\n"


async def test_a_client_that_is_gone_is_told_nothing_and_the_session_ends_once(bench: Bench) -> None:
    bench.start(b"a OK\r\n")
    reset(bench.client)
    bench.relay.end("kick", BYE)
    await until(lambda: bench.owner.closed_by)
    assert len(bench.owner.closed_by) == 1


async def test_records_of_every_size_pass(secured: Bench) -> None:
    secured.start()
    for size in (1, 16383, 16384, 16385, 65536, 65537):
        await write(secured.client, bytes(size))
        assert len(await read_exactly(secured.backend, size)) == size
        await write(secured.backend, bytes(size))
        assert len(await read_exactly(secured.client, size)) == size


@pytest.mark.parametrize("records", range(1, 12))
async def test_the_end_that_comes_with_the_last_of_many_small_records_is_passed_on(
    secured: Bench, records: int
) -> None:
    secured.start()
    for _ in range(records):  # all are in the socket before the relay looks
        secured.client.send(bytes(1400))
    half_close(secured.client)
    assert await read_all(secured.backend) == bytes(1400 * records)
    await until(lambda: secured.owner.half)
    await write(secured.backend, b"a OK\r\n")
    secured.backend.close()
    assert await read_all(secured.client) == b"a OK\r\n"


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
