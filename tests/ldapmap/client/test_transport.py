"""The transport against real sockets: whole, in crumbs, stuffed up, in TLS, and cut off at every point."""

import asyncio
import contextlib
import errno
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from ldapmap.client.address import Address, parse_address
from ldapmap.client.transport import Transport, connect
from tls import ThrowawayAuthority, backend_context

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy. fixture")

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Every test here runs on both event loops."""
    return cast(asyncio.AbstractEventLoopPolicy, request.param())


@pytest.fixture(scope="module")
def authority() -> ThrowawayAuthority:
    return ThrowawayAuthority()


@pytest.fixture
def trusting(authority: ThrowawayAuthority, tmp_path: Path) -> ssl.SSLContext:
    return backend_context(authority.write_ca(tmp_path / "ca.pem"), True)


@pytest.fixture
def ours(authority: ThrowawayAuthority, tmp_path: Path) -> ssl.SSLContext:
    files = authority.issue(tmp_path, "server", ips=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


class Ear:
    """Notes what is received, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.heard = b""
        self.ends: list[Exception | None] = []
        self._changed = asyncio.Condition()
        self._told = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self._told.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends.append(exc)
        self._told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._told.clear()
                await self._told.wait()


@contextlib.asynccontextmanager
async def peer(talk: Peer, context: ssl.SSLContext | None = None) -> AsyncIterator[Address]:
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield parse_address(f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


@contextlib.asynccontextmanager
async def talking(address: Address, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Transport, Ear]]:
    ear = Ear()
    transport = Transport(await connect(address, 5.0), ear)
    try:
        if tls is None:
            transport.start()
        else:
            await transport.start_tls(tls, address.host)
        yield transport, ear
    finally:
        transport.abort()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@pytest.mark.parametrize("secure", [False, True])
async def test_what_is_written_arrives_and_what_is_answered_is_delivered(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, secure: bool
) -> None:
    text = os.urandom(200_000)
    async with (
        peer(echo, ours if secure else None) as address,
        talking(address, trusting if secure else None) as (transport, ear),
    ):
        for at in range(0, len(text), 50_000):
            transport.write(text[at : at + 50_000])
        await ear.until(lambda: len(ear.heard) == len(text))
        assert ear.heard == text
        assert ear.ends == []


@pytest.mark.parametrize("secure", [False, True])
async def test_what_comes_byte_by_byte_is_delivered(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, secure: bool
) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for octet in b"in crumbs":
            writer.write(bytes((octet,)))
            await asyncio.sleep(0)
        await reader.read()

    async with (
        peer(trickle, ours if secure else None) as address,
        talking(address, trusting if secure else None) as (_, ear),
    ):
        await ear.until(lambda: ear.heard == b"in crumbs")


async def test_a_tls_record_that_arrives_in_pieces_is_delivered_when_it_is_whole(
    trusting: ssl.SSLContext, ours: ssl.SSLContext
) -> None:
    """Through a relay that cuts the stream of records wherever it likes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 20_000)
        await reader.read()

    async with peer(answer, ours) as behind:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            back_reader, back_writer = await asyncio.open_connection(behind.host, behind.port)

            async def forth() -> None:
                while data := await reader.read(7):
                    back_writer.write(data)

            async with asyncio.TaskGroup() as group:
                group.create_task(forth())
                while data := await back_reader.read(997):
                    writer.write(data)
                    await asyncio.sleep(0)

        async with peer(relay) as address, talking(address, trusting) as (_, ear):
            await ear.until(lambda: len(ear.heard) == 20_000)


@pytest.mark.parametrize("secure", [False, True])
async def test_the_end_is_told_once_and_after_the_last_word(
    trusting: ssl.SSLContext, ours: ssl.SSLContext, secure: bool
) -> None:
    async def farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"last word")
        writer.close()
        await writer.wait_closed()

    async with (
        peer(farewell, ours if secure else None) as address,
        talking(address, trusting if secure else None) as (transport, ear),
    ):
        await ear.until(lambda: bool(ear.ends))
        assert (ear.heard, ear.ends) == (b"last word", [None])
        assert transport.closed
        transport.write(b"into the void")
        transport.close()
        transport.abort()
        assert ear.ends == [None]


async def test_a_connection_that_is_reset_is_lost_with_its_reason() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with peer(reset) as address, talking(address) as (_, ear):
        await ear.until(lambda: bool(ear.ends))
        assert isinstance(ear.ends[0], ConnectionError)


async def test_a_broken_record_ends_the_connection(trusting: ssl.SSLContext, ours: ssl.SSLContext) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        raw = writer.get_extra_info("socket")
        os.write(raw.fileno(), b"\x17\x03\x03\x00\x20" + b"?" * 32)
        await reader.read()

    async with peer(garbage, ours) as address, talking(address, trusting) as (transport, ear):
        transport.write(b"hello")
        await ear.until(lambda: bool(ear.ends))
        assert isinstance(ear.ends[0], ssl.SSLError)
        assert transport.closed


async def test_a_peer_that_reads_nothing_is_lost_after_a_megabyte() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that reads
        await asyncio.Event().wait()

    async with peer(deaf) as address, talking(address) as (transport, ear):
        while not ear.ends:
            transport.write(b"x" * 100_000)
        assert str(ear.ends[0]) == "the server does not read what it is sent"
        assert transport.closed


async def test_what_a_slow_peer_did_not_read_at_once_is_sent_later_and_in_order() -> None:
    may_read = asyncio.Event()
    received = bytearray()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that reads
        await may_read.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # it is one that reads
        while not received.endswith(b"end"):
            received.extend(await reader.read(65536))
        writer.write(b"thanks")
        await reader.read()

    sent = b""
    async with peer(slow) as address, talking(address) as (transport, ear):
        while not transport._unsent:
            sent += (piece := os.urandom(30_000))
            transport.write(piece)
        sent += b"end"
        transport.write(b"end")
        may_read.set()
        await ear.until(lambda: ear.heard == b"thanks")
        assert received == sent


async def test_what_is_written_in_one_turn_is_sent_as_one_and_nothing_after_the_end() -> None:
    raw, ear = Scripted(), Ear()
    transport = Transport(cast(Any, raw), ear)
    transport.write(b"one ")
    transport.write(b"two ")
    await asyncio.sleep(0)
    assert raw.sends == [b"one two "]
    transport.write(b"three")
    transport.close()
    await asyncio.sleep(0)
    assert raw.sends == [b"one two ", b"three"]


async def test_what_is_sent_leaves_at_once_and_behind_what_was_written_and_nothing_after_the_end() -> None:
    raw, ear = Scripted(), Ear()
    transport = Transport(cast(Any, raw), ear)
    transport.write(b"one ")
    transport.send(b"two ")
    assert raw.sends == [b"one two "]
    await asyncio.sleep(0)
    transport.abort()
    transport.send(b"three")
    assert raw.sends == [b"one two "]


async def test_writing_to_a_socket_that_is_gone_loses_the_connection() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    ear = Ear()
    transport = Transport(near, ear)
    far.close()
    transport.write(b"hello")
    await ear.until(lambda: bool(ear.ends))
    assert isinstance(ear.ends[0], BrokenPipeError)
    assert transport.closed


async def test_nothing_can_be_said_after_the_goodbye_of_tls(trusting: ssl.SSLContext, ours: ssl.SSLContext) -> None:
    async with peer(echo, ours) as address, talking(address, trusting) as (transport, ear):
        assert transport._tls is not None
        with contextlib.suppress(ssl.SSLWantReadError):
            transport._tls.unwrap()
        transport.write(b"hello")
        await ear.until(lambda: bool(ear.ends))
        assert isinstance(ear.ends[0], ssl.SSLError)


async def test_closing_in_tls_says_goodbye(trusting: ssl.SSLContext, ours: ssl.SSLContext) -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.set_result(await reader.read())

    async with peer(listen, ours) as address, talking(address, trusting) as (transport, _):
        transport.write(b"so long")
        transport.close()
        async with asyncio.timeout(5):
            assert await ended == b"so long"


async def test_a_wake_up_without_a_cause_does_no_harm(trusting: ssl.SSLContext, ours: ssl.SSLContext) -> None:
    async with peer(echo, ours) as address, talking(address, trusting) as (transport, ear):
        transport._readable()
        transport.write(b"hello")
        await ear.until(lambda: ear.heard == b"hello")


class Scripted:
    """A socket that does what it is told, for what a kernel seldom does."""

    def __init__(self, *results: bytes | Exception) -> None:
        self.results = list(results)
        self.sends: list[bytes] = []
        self._pair = socket.socketpair()

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def recv(self, size: int) -> bytes:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def send(self, data: bytes) -> int:
        if data:
            self.sends.append(data)
        return len(data)

    @property
    def sent(self) -> bytes:
        return b"".join(self.sends)

    def close(self) -> None:
        for each in self._pair:
            each.close()

    def say(self) -> None:
        self._pair[1].send(b"!")


class Chatty:
    """TLS that has something to say itself while it is read, as for a change of keys."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(self, size: int) -> bytes:
        self._transport._incoming.read()
        self._transport._outgoing.write(b"new keys")
        return b"data"


class Stuffed(Scripted):
    """Takes nothing the first time."""

    refused = False

    def send(self, data: bytes) -> int:
        if not self.refused:
            self.refused = True
            raise BlockingIOError
        return super().send(data)


async def test_a_socket_that_takes_nothing_now_takes_it_later() -> None:
    raw = Stuffed()
    transport = Transport(cast(Any, raw), Ear())
    transport.write(b"hello")
    assert raw.sent == b""
    async with asyncio.timeout(5):
        while not raw.sent:
            await asyncio.sleep(0)
    assert raw.sent == b"hello"
    assert not transport._unsent
    transport.abort()


class Leaving:
    """TLS whose last record says goodbye."""

    def __init__(self) -> None:
        self.parts = [b"data", b""]

    def read(self, size: int) -> bytes:
        return self.parts.pop(0)


async def test_who_closes_when_told_the_last_word_is_told_nothing_more() -> None:
    class Hasty(Ear):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            transport.abort()

    ear = Hasty()
    transport = Transport(cast(Any, Scripted(b"records")), ear)
    transport._tls = cast(Any, Leaving())
    transport._readable()
    assert (ear.heard, ear.ends) == (b"data", [])


async def test_what_tls_itself_has_to_say_is_sent() -> None:
    raw, ear = Scripted(b"record"), Ear()
    transport = Transport(cast(Any, raw), ear)
    transport._tls = cast(Any, Chatty(transport))
    transport._readable()
    assert (raw.sent, ear.heard) == (b"new keys", b"data")
    transport.abort()


async def test_a_handshake_is_not_confused_by_a_wake_up_without_a_cause(trusting: ssl.SSLContext) -> None:
    raw = Scripted(BlockingIOError(), b"")
    transport = Transport(cast(Any, raw), Ear())
    raw.say()
    with pytest.raises(ConnectionError, match="while TLS began"):
        await transport.start_tls(trusting, "127.0.0.1")
    transport.abort()


async def test_a_handshake_that_fails_tells_the_peer_why(ours: ssl.SSLContext) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ours.wrap_bio(incoming, outgoing, server_side=True)
        while not told.done():
            incoming.write(await reader.read(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
            except ssl.SSLError as error:
                told.set_result(error.reason)

    stranger = ssl.create_default_context()
    async with peer(serve) as address:
        transport = Transport(await connect(address, 5.0), Ear())
        with pytest.raises(ssl.SSLCertVerificationError):
            await transport.start_tls(stranger, "127.0.0.1")
        async with asyncio.timeout(5):
            assert await told == "TLSV1_ALERT_UNKNOWN_CA"
        transport.abort()


# --- connecting ---


async def test_small_requests_are_not_held_back_and_dead_peers_are_noticed() -> None:
    async with peer(echo) as address:
        raw = await connect(address, 5.0)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        raw.close()


async def test_a_unix_socket_is_one_address(tmp_path: Path) -> None:
    path = str(tmp_path / "ldapi")
    server = await asyncio.start_unix_server(echo, path)
    raw = await connect(Address("ldapi", path=path), 5.0)
    ear = Ear()
    transport = Transport(raw, ear)
    transport.start()
    transport.write(b"hello")
    await ear.until(lambda: ear.heard == b"hello")
    transport.abort()
    server.close()
    with pytest.raises(FileNotFoundError):
        await connect(Address("ldapi", path=path + "x"), 5.0)


def resolving(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> None:
    async def getaddrinfo(host: str, port: int, **more: Any) -> list[Any]:
        assert (host, port) == ("ldap.example", 389)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", each) for each in found]

    import ldapmap.client.transport

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return getattaddr if name == "getaddrinfo" else getattr(loop, name)

    loop, getattaddr = asyncio.get_running_loop(), getaddrinfo

    class Asyncio:
        timeout, Event = asyncio.timeout, asyncio.Event

        @staticmethod
        def get_running_loop() -> Any:
            return Loop()

    monkeypatch.setattr(ldapmap.client.transport, "asyncio", Asyncio)


async def test_every_address_of_a_name_is_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        nowhere = refusing.getsockname()
    async with peer(echo) as address:
        there = (address.host, address.port)
        resolving(monkeypatch, nowhere, there, nowhere)
        raw = await connect(Address("ldap", "ldap.example", 389), 5.0)
        assert raw.getpeername() == there
        raw.close()
        resolving(monkeypatch, nowhere, nowhere)
        with pytest.raises(ConnectionRefusedError):
            await connect(Address("ldap", "ldap.example", 389), 5.0)


async def test_an_address_where_nobody_answers_takes_its_share_of_the_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with full() as hanging:
        async with peer(echo) as address:
            resolving(monkeypatch, hanging.getsockname(), (address.host, address.port))
            raw = await connect(Address("ldap", "ldap.example", 389), 0.2)
            assert raw.getpeername()[1] == address.port
            raw.close()


@contextlib.contextmanager
def full() -> Any:
    """A server whose queue of connections is full: the kernel answers no further one."""
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield listening


async def test_giving_up_while_connecting_or_shaking_hands_leaves_no_descriptor(trusting: ssl.SSLContext) -> None:
    async def handshake(address: Address) -> None:
        transport = Transport(await connect(address, 5.0), Ear())
        try:
            await transport.start_tls(trusting, "127.0.0.1")
        finally:
            transport.abort()

    with full() as hanging, socket.create_server(("127.0.0.1", 0)) as silent:
        await asyncio.sleep(0)
        gc.collect()  # what earlier tests have left may hold descriptors
        before = len(os.listdir("/proc/self/fd"))
        for port, attempt in ((hanging.getsockname()[1], connect_only), (silent.getsockname()[1], handshake)):
            task = asyncio.ensure_future(attempt(Address("ldap", "127.0.0.1", port)))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await task
        assert len(os.listdir("/proc/self/fd")) == before


async def connect_only(address: Address) -> None:
    await connect(address, 5.0)


async def test_why_a_connection_failed_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        port = refusing.getsockname()[1]
    with pytest.raises(OSError, match="refused") as failure:
        await connect(Address("ldap", "127.0.0.1", port), 5.0)
    assert failure.value.errno == errno.ECONNREFUSED
