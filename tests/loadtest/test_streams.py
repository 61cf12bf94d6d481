"""A wire over asyncio's transports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadtest import streams
from loadtest.streams import BUFFER, StreamWire
from proxy.protocols.wire import BareNewline, EndOfStream, Expired, LineTooLong, TlsFailure, WireFailure
from tls import ThrowawayAuthority

Story = Callable[[StreamWire], Awaitable[object]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def told(
    story: Story, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Connection, asyncio.Future[object]]]:
    """A client's connection to a server with this story, and what its side comes to: its result or its failure."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[object] = loop.create_future()

    async def serve(wire: StreamWire) -> None:
        try:
            result.set_result(await story(wire))
        except WireFailure as failure:
            result.set_result(type(failure))
        wire.close()

    tasks: list[asyncio.Task[None]] = []
    server = await loop.create_server(
        lambda: StreamWire(lambda wire: tasks.append(loop.create_task(serve(wire))), context), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield (reader, writer), result
        writer.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def outcome(story: Story, sent: bytes, *, ends: bool = True, context: ssl.SSLContext | None = None) -> object:
    """What a server's side comes to when a client sends this, and then ends or says nothing more."""
    async with told(story, context) as ((_, writer), result):
        writer.write(sent)
        if ends:
            writer.write_eof()
        return await result


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"abc\r\n", b"abc"),
        (b"1234567890\r\n", b"1234567890"),
        (b"12345678901\r\n", LineTooLong),
        (b"x" * (2 * BUFFER), LineTooLong),
        (b"abc\n", BareNewline),
        (b"abc", EndOfStream),
    ],
)
async def test_a_line_is_bounded_and_ends_in_cr_lf(sent: bytes, expected: object) -> None:
    assert await outcome(lambda wire: wire.line(10), sent) == expected


async def test_exactly_as_many_bytes_are_taken() -> None:
    assert await outcome(lambda wire: wire.exactly(3), b"abcdef") == b"abc"
    assert await outcome(lambda wire: wire.exactly(3), b"ab") is EndOfStream
    assert await outcome(lambda wire: wire.exactly(4 * BUFFER), b"x" * 4 * BUFFER) == b"x" * 4 * BUFFER


async def test_no_more_is_read_than_is_asked_for_and_everything_in_the_end() -> None:
    go_on = asyncio.Event()

    async def reads_late(wire: StreamWire) -> int:
        await go_on.wait()
        count = 0
        while True:
            try:
                count += len(await wire.exactly(64 * 1024))
            except EndOfStream:
                return count

    async with told(reads_late) as ((_, writer), result):
        writer.transport.set_write_buffer_limits(0)
        writer.write(bytes(32 * 1024 * 1024))
        while writer.transport.get_write_buffer_size() == 32 * 1024 * 1024:
            await asyncio.sleep(0)
        assert writer.transport.get_write_buffer_size() > 16 * 1024 * 1024
        go_on.set()
        writer.write_eof()
        assert await result == 32 * 1024 * 1024


@pytest.mark.parametrize("story", [lambda wire: wire.line(10), lambda wire: wire.exactly(3)])
async def test_a_silent_peer_is_not_waited_for_forever(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.01)
    assert await outcome(story, b"ab", ends=False) is Expired


async def babble(wire: StreamWire) -> None:
    while True:
        await wire.send(bytes(1 << 20))


async def test_a_peer_that_does_not_read_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.01)
    assert await outcome(babble, b"", ends=False) is Expired


async def test_a_peer_that_is_gone_cannot_be_told() -> None:
    async with told(babble) as ((_, writer), result):
        writer.close()
        assert await result is EndOfStream


async def test_whoever_has_said_everything_is_answered_yet() -> None:
    async def answer(wire: StreamWire) -> None:
        assert await wire.line(10) == b"last"
        await wire.send(b"words\r\n")

    async with told(answer) as ((reader, writer), _):
        writer.write(b"last\r\n")
        writer.write_eof()
        assert await reader.read() == b"words\r\n"


async def test_a_server_tells_while_it_waits_until_its_peer_is_behind() -> None:
    async def story(wire: StreamWire) -> int:
        assert not wire.behind
        told = 0
        while not wire.behind:
            wire.tell(bytes(100_000))
            told += 100_000
        return told

    async with told(story) as ((reader, _), result):
        count = await result
        assert isinstance(count, int)
        assert len(await reader.read(-1)) == count


async def test_a_reset_is_one() -> None:
    async def story(wire: StreamWire) -> None:
        wire.reset()

    async with told(story) as ((reader, _), _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_tls_needs_a_certificate() -> None:
    assert await outcome(lambda wire: wire.start_tls(), b"") is TlsFailure


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    authority = ThrowawayAuthority()
    files = authority.issue(tmp_path_factory.mktemp("tls"), "server", ips=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context, ssl.create_default_context(cadata=authority.certificate_pem.decode())


async def test_tls_begins_in_the_middle(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    seen: list[object] = []

    async def serve(wire: StreamWire) -> None:
        seen.extend([wire.secure, wire.certificate_user, await wire.line(10)])
        await wire.send(b"go\r\n")
        await wire.start_tls()
        seen.extend([wire.secure, await wire.line(10)])
        await wire.send(b"done\r\n")

    async with told(serve, contexts[0]) as ((reader, writer), result):
        writer.write(b"tls\r\n")
        assert await reader.readline() == b"go\r\n"
        await writer.start_tls(contexts[1], server_hostname="127.0.0.1")
        writer.write(b"hello\r\n")
        assert await reader.readline() == b"done\r\n"
        await result
    assert seen == [False, "", b"tls", True, b"hello"]


@pytest.mark.parametrize("sent", [b"not a ClientHello\r\n", b""])
async def test_no_tls_from_a_peer_that_speaks_something_else(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], sent: bytes
) -> None:
    assert await outcome(lambda wire: wire.start_tls(), sent, context=contexts[0]) is TlsFailure


async def test_no_tls_behind_bytes_of_the_clear_phase(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def story(wire: StreamWire) -> None:
        await wire.line(10)
        await wire.start_tls()

    assert await outcome(story, b"STLS\r\nNOOP\r\n", context=contexts[0]) is TlsFailure
