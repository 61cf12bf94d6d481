"""The end of a connection: the peer is heard out, but not for ever."""

from __future__ import annotations

import socket
from pathlib import Path

from proxy.dispatcher import READ, Dispatcher
from proxy.linger import part
from tests.proxy.sockets import Tls, dispatching, read_all, tcp_pair, until, write


class Nobody:
    """A handler that is never called."""

    def ready(self, events: int) -> None:
        raise AssertionError

    def abort(self) -> None:
        raise AssertionError


def watched(dispatcher: Dispatcher) -> tuple[socket.socket, socket.socket]:
    ours, theirs = tcp_pair()
    dispatcher.register(ours.fileno(), Nobody(), READ)
    return ours, theirs


async def test_the_socket_is_closed_when_the_peer_has_closed() -> None:
    async with dispatching() as dispatcher:
        ours, theirs = watched(dispatcher)
        part(dispatcher, ours.fileno(), ours, heard=False)
        await write(theirs, b"x" * 100_000)
        assert ours.fileno() >= 0
        assert await read_all(theirs) == b""
        theirs.close()
        await until(lambda: ours.fileno() < 0)
        assert not dispatcher.timed


async def test_the_socket_is_closed_when_the_deadline_has_passed() -> None:
    async with dispatching(linger=0) as dispatcher:
        ours, _theirs = watched(dispatcher)
        part(dispatcher, ours.fileno(), ours, heard=False)
        assert ours.fileno() >= 0
        dispatcher.sweep()
        assert ours.fileno() < 0
        assert not dispatcher.timed


async def test_a_peer_that_has_been_heard_out_is_not_waited_for() -> None:
    async with dispatching() as dispatcher:
        ours, _theirs = watched(dispatcher)
        part(dispatcher, ours.fileno(), ours, heard=True)
        assert ours.fileno() < 0


async def test_a_connection_that_is_gone_is_closed_at_once() -> None:
    async with dispatching() as dispatcher:
        ours, theirs = watched(dispatcher)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        part(dispatcher, ours.fileno(), ours, heard=False)
        await until(lambda: ours.fileno() < 0)


async def test_a_tls_peer_gets_a_close_notify(tmp_path: Path) -> None:
    async with dispatching() as dispatcher:
        ours, theirs = watched(dispatcher)
        client, server = Tls(tmp_path).wrapped(theirs, ours)
        part(dispatcher, server.fileno(), server, heard=False)
        assert await read_all(client) == b""
        client.unwrap()
        client.close()
        await until(lambda: server.fileno() < 0)
