"""A channel is a wire over a real descriptor: lines, counts, deadlines, ends, resets, and data nobody awaits."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from proxy.channel import Channel
from proxy.dispatcher import READ, Dispatcher
from proxy.handshake import server_upgrade
from proxy.protocols.wire import EndOfStream, Expired, LineTooLong, ShuttingDown, TlsFailure
from tests.proxy.sockets import Tls, dispatching, read_all, read_exactly, tcp_pair, until, write


def open_channel(dispatcher: Dispatcher) -> tuple[Channel, socket.socket]:
    """A channel with a minute's time, and its peer."""
    ours, theirs = tcp_pair()
    return Channel(dispatcher, ours, deadline=dispatcher.now() + 60), theirs


async def test_lines_and_counts_are_read_across_segments() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        reading = asyncio.create_task(channel.line(100))
        for byte in b"a NOOP\r\n":
            await write(peer, bytes([byte]))
            await asyncio.sleep(0)
        assert await reading == b"a NOOP"
        await write(peer, b"12345rest\r\n")
        assert await channel.exactly(5) == b"12345"
        assert await channel.line(100) == b"rest"


async def test_not_one_byte_beyond_an_exact_count_is_taken_from_a_connection_in_clear() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        await write(peer, b"header|client hello")
        assert await channel.exactly(7) == b"header|"
        assert channel.sock.recv(100) == b"client hello"


async def test_a_line_beyond_its_limit_is_refused_before_it_is_complete() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        await write(peer, b"x" * 200)
        with pytest.raises(LineTooLong):
            await channel.line(100)


async def test_a_large_answer_is_sent_to_a_slow_reader() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        data = bytes(range(256)) * 20000
        sending = asyncio.create_task(channel.send(data))
        assert await read_exactly(peer, len(data)) == data
        await sending
        await write(peer, b"thanks\r\n")
        assert await channel.line(100) == b"thanks"


async def test_the_peers_close_and_reset_end_the_stream() -> None:
    async with dispatching() as dispatcher:
        closed, peer = open_channel(dispatcher)
        peer.close()
        with pytest.raises(EndOfStream):
            await closed.line(100)
        broken, peer = open_channel(dispatcher)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        with pytest.raises(EndOfStream):
            await broken.line(100)
        with pytest.raises(EndOfStream):
            await broken.send(b"x")


async def test_a_wait_ends_at_its_deadline() -> None:
    async with dispatching() as dispatcher:
        channel, _peer = open_channel(dispatcher)
        reading = asyncio.create_task(channel.line(100))
        await asyncio.sleep(0)
        dispatcher.sweep()
        assert not reading.done()
        channel.deadline = dispatcher.now()
        dispatcher.sweep()
        with pytest.raises(Expired):
            await reading


async def test_more_time_is_granted_once() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        channel.deadline = dispatcher.now()
        channel.more_time = lambda: dispatcher.now() + 60
        reading = asyncio.create_task(channel.line(100))
        await asyncio.sleep(0)
        dispatcher.sweep()
        await write(peer, b"late\r\n")
        assert await reading == b"late"
        assert channel.more_time is None


async def test_a_wait_can_be_interrupted_and_nothing_else_can() -> None:
    async with dispatching() as dispatcher:
        channel, _peer = open_channel(dispatcher)
        assert not channel.interrupt(ShuttingDown())
        reading = asyncio.create_task(channel.line(100))
        await asyncio.sleep(0)
        assert channel.interrupt(ShuttingDown())
        assert not channel.interrupt(ShuttingDown())
        with pytest.raises(ShuttingDown):
            await reading


async def test_data_that_nobody_awaits_does_not_spin_and_is_there_when_somebody_does() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        await write(peer, b"pipelined\r\n")
        turns = 0
        ready = channel.ready

        def counted(events: int) -> None:
            nonlocal turns
            turns += 1
            ready(events)

        dispatcher.hand_over(
            channel.fd, type("Counted", (), {"ready": staticmethod(counted), "abort": channel.abort})()
        )
        await until(lambda: turns)
        for _ in range(10):
            await asyncio.sleep(0)
        assert turns == 1
        assert await channel.line(100) == b"pipelined"


async def test_a_peer_that_resets_while_nobody_waits_is_reported_once() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        gone: list[bool] = []
        channel.on_gone = lambda: gone.append(True)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await until(lambda: gone)
        for _ in range(10):
            await asyncio.sleep(0)
        assert gone == [True]
        with pytest.raises(EndOfStream):
            await channel.line(100)


async def test_tls_starts_only_when_nothing_of_the_clear_phase_is_unread(tmp_path: Path) -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        with pytest.raises(TlsFailure):
            await channel.start_tls()
        channel.upgrade = server_upgrade(Tls(tmp_path).server, "imap")
        await write(peer, b"a STARTTLS\r\nb NOOP\r\n")
        assert await channel.line(100) == b"a STARTTLS"
        with pytest.raises(TlsFailure, match="behind STARTTLS"):
            await channel.start_tls()


async def test_whole_records_are_taken_out_of_tls(tmp_path: Path) -> None:
    """With fewer bytes than a record asked for, the rest would stay inside OpenSSL, where epoll cannot see it."""
    tls = Tls(tmp_path)
    async with dispatching() as dispatcher:
        ours, theirs = tcp_pair()
        client, server = tls.wrapped(theirs, ours)
        channel = Channel(dispatcher, server, deadline=dispatcher.now() + 60)
        await write(client, b"x" * 1000 + b"line\r\n")
        assert await channel.exactly(1000) == b"x" * 1000
        assert await channel.line(100) == b"line"
        assert (channel.tls_version(), channel.tls_cipher()[:4]) == ("TLSv1.3", "TLS_")


async def test_a_released_socket_is_the_new_owners() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        await write(peer, b"line\r\nbehind it")
        assert await channel.line(100) == b"line"
        sock, rest, events = channel.release()
        assert (rest, events) == (b"behind it", READ)
        channel.close()
        assert sock.fileno() >= 0
        assert channel not in dispatcher.timed


async def test_parting_lets_the_peer_read_the_last_words_whatever_it_is_still_sending(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    async with dispatching() as dispatcher:
        ours, theirs = tcp_pair()
        client, server = tls.wrapped(theirs, ours)
        channel = Channel(dispatcher, server, deadline=dispatcher.now() + 60)
        await write(client, b"unread\r\n" * 1000)
        await channel.send(b"* BYE Too many bad commands.\r\n")
        channel.part()
        channel.part()
        await write(client, b"more\r\n" * 1000)
        assert await read_all(client) == b"* BYE Too many bad commands.\r\n"
        client.unwrap()
        client.close()
        await until(lambda: server.fileno() < 0)


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        channel.close()
        channel.close()
        assert await read_all(peer) == b""


async def test_an_error_of_ours_ends_the_wait_and_closes() -> None:
    async with dispatching() as dispatcher:
        channel, peer = open_channel(dispatcher)
        reading = asyncio.create_task(channel.line(100))
        await asyncio.sleep(0)
        channel.abort()
        with pytest.raises(EndOfStream):
            await reading
        assert await read_all(peer) == b""


async def test_a_channel_without_tls_has_no_version() -> None:
    async with dispatching() as dispatcher:
        channel, _peer = open_channel(dispatcher)
        assert (channel.tls_version(), channel.tls_cipher()) == ("", "")
        assert not isinstance(channel.sock, ssl.SSLSocket)
