"""A wire over asyncio's streams."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from loadtest import streams
from loadtest.streams import BUFFER, StreamWire
from proxy.protocols.wire import BareNewline, EndOfStream, Expired, LineTooLong, TlsFailure, WireFailure
from tls import ThrowawayAuthority

Story = Callable[[StreamWire], Awaitable[object]]


async def outcome(story: Story, sent: bytes, *, ends: bool = True, hangs_up: bool = False) -> object:
    """What a server's side of a connection comes to, its result or its failure, when a client sends this."""
    result: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            result.set_result(await story(StreamWire(reader, writer)))
        except WireFailure as failure:
            result.set_result(type(failure))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=BUFFER) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        if ends:
            writer.write_eof()
        if hangs_up:
            writer.close()
        found = await result
        writer.close()
        return found


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


@pytest.mark.parametrize("story", [lambda wire: wire.line(10), lambda wire: wire.exactly(3)])
async def test_a_silent_peer_is_not_waited_for_forever(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.01)
    assert await outcome(story, b"ab", ends=False) is Expired


async def test_a_peer_that_is_gone_cannot_be_told() -> None:
    async def talk(wire: StreamWire) -> None:
        while True:
            await wire.send(bytes(1 << 20))

    assert await outcome(talk, b"", hangs_up=True) is EndOfStream


async def test_tls_needs_a_certificate() -> None:
    assert await outcome(lambda wire: wire.start_tls(), b"") is TlsFailure


async def test_tls_begins_in_the_middle(tmp_path: Path) -> None:
    authority = ThrowawayAuthority()
    files = authority.issue(tmp_path, "server", ips=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    seen: list[object] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = StreamWire(reader, writer, context)
        seen.extend([wire.secure, wire.certificate_user, await wire.line(10)])
        await wire.send(b"go\r\n")
        await wire.start_tls()
        seen.extend([wire.secure, await wire.line(10)])
        await wire.send(b"done\r\n")
        writer.close()

    trusting = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"tls\r\n")
        assert await reader.readline() == b"go\r\n"
        await writer.start_tls(trusting, server_hostname="127.0.0.1")
        writer.write(b"hello\r\n")
        assert await reader.readline() == b"done\r\n"
        writer.close()
    assert seen == [False, "", b"tls", True, b"hello"]


async def test_no_tls_from_a_peer_that_speaks_something_else(tmp_path: Path) -> None:
    files = ThrowawayAuthority().issue(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)

    async def story(wire: StreamWire) -> None:
        wire._context = context
        await wire.start_tls()

    assert await outcome(story, b"not a ClientHello\r\n") is TlsFailure
