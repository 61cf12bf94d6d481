"""Listening sockets and who takes connections from them."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from proxy.dispatcher import Dispatcher
from proxy.listening import Acceptor, bind
from proxy.settings import ListenerSettings
from tests.proxy.sockets import dispatching, until

Admitted = list[tuple[socket.socket, tuple[str, int]]]


def listener(address: str = "127.0.0.1:0", **more: Any) -> ListenerSettings:
    return ListenerSettings(protocol="imap", address=address, **more)


def accepting(dispatcher: Dispatcher, sock: socket.socket) -> tuple[Acceptor, Admitted]:
    """An acceptor, and what it admits."""
    admitted: Admitted = []
    return Acceptor(dispatcher, sock, lambda one, peer: admitted.append((one, peer))), admitted


def test_two_workers_listen_on_one_address() -> None:
    with bind(listener()) as first, bind(listener(f"127.0.0.1:{first.getsockname()[1]}")) as second:
        assert first.getsockname() == second.getsockname()


def test_an_address_that_is_not_ours_is_refused_and_no_socket_is_left() -> None:
    with pytest.raises(OSError) as refused:
        bind(listener("192.0.2.1:0"))
    assert refused.value.errno == errno.EADDRNOTAVAIL


def test_the_ipv6_wildcard_takes_ipv4_too() -> None:
    with bind(listener("[::]:0")) as both, socket.create_connection(("127.0.0.1", both.getsockname()[1])) as client:
        accepted, peer = both.accept()
        assert peer[0] == f"::ffff:{client.getsockname()[0]}"
        accepted.close()


def test_another_ipv6_address_does_not() -> None:
    with bind(listener("[::1]:0")) as one, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", one.getsockname()[1]))


def test_accepted_connections_notice_dead_peers_and_send_at_once() -> None:
    with bind(listener()) as sock, socket.create_connection(sock.getsockname()):
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_connections_are_admitted_with_their_address() -> None:
    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            acceptor, admitted = accepting(dispatcher, sock)
            clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
            await until(lambda: len(admitted) == 3)
            assert [peer for _, peer in admitted] == [client.getsockname() for client in clients]
            assert not any(one.getblocking() for one, _ in admitted)
            acceptor.stop()
            close(clients, admitted)


async def test_a_burst_is_taken_in_several_turns() -> None:
    admitted: Admitted = []
    after_the_first: list[int] = []

    async with dispatching() as dispatcher:

        def admit(one: socket.socket, peer: tuple[str, int]) -> None:
            if not admitted:
                dispatcher.loop.call_soon(lambda: after_the_first.append(len(admitted)))
            admitted.append((one, peer))

        with bind(listener()) as sock:
            clients = [socket.create_connection(sock.getsockname()) for _ in range(300)]
            acceptor = Acceptor(dispatcher, sock, admit)
            await until(lambda: len(admitted) == 300)
            assert after_the_first[0] < 300
            acceptor.stop()
            close(clients, admitted)


async def test_an_error_with_one_connection_is_no_reason_to_take_no_other(caplog: pytest.LogCaptureFixture) -> None:
    admitted: Admitted = []

    def admit(one: socket.socket, peer: tuple[str, int]) -> None:
        admitted.append((one, peer))
        if len(admitted) == 1:
            raise ZeroDivisionError

    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            acceptor = Acceptor(dispatcher, sock, admit)
            clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
            await until(lambda: len(admitted) == 3)
            assert "ZeroDivisionError" in caplog.text
            acceptor.stop()
            close(clients, admitted)


async def test_after_a_stop_the_queue_is_left_to_others() -> None:
    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            acceptor, admitted = accepting(dispatcher, sock)
            acceptor.stop()
            acceptor.stop()
            with socket.create_connection(sock.getsockname()) as client:
                successor, taken = accepting(dispatcher, sock.dup())
                await until(lambda: taken)
                assert taken[0][1] == client.getsockname()
                assert admitted == []
                successor.stop()
                close([], taken)


class Exhausted:
    """A listening socket in a process that has no descriptor to spare, for a while."""

    def __init__(self, sock: socket.socket, error: int) -> None:
        self._sock = sock
        self.error = error
        self.asked = 0

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self.error:
            raise OSError(self.error, "no more")
        return self._sock.accept()


async def test_without_descriptors_it_looks_away_for_a_moment_and_goes_on_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            exhausted: Any = Exhausted(sock, errno.EMFILE)
            acceptor, admitted = accepting(dispatcher, exhausted)
            client = socket.create_connection(sock.getsockname())
            await until(lambda: exhausted.asked)
            for _ in range(20):
                await asyncio.sleep(0)
            assert exhausted.asked == 1
            assert "no connection can be accepted" in caplog.text
            exhausted.error = 0
            await until(lambda: admitted)
            acceptor.stop()
            close([client], admitted)


async def test_a_stop_while_it_looks_away_is_for_good() -> None:
    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            exhausted: Any = Exhausted(sock, errno.ENFILE)
            acceptor, admitted = accepting(dispatcher, exhausted)
            client = socket.create_connection(sock.getsockname())
            await until(lambda: exhausted.asked)
            acceptor.stop()
            exhausted.error = 0
            resumed = dispatcher.loop.time() + 0.6
            await until(lambda: dispatcher.loop.time() > resumed)
            assert admitted == []
            close([client], admitted)


async def test_a_client_that_has_gone_before_it_was_taken_is_no_matter() -> None:
    async with dispatching() as dispatcher:
        with bind(listener()) as sock:
            hasty: Any = Exhausted(sock, errno.ECONNABORTED)
            acceptor, admitted = accepting(dispatcher, hasty)
            client = socket.create_connection(sock.getsockname())
            await until(lambda: hasty.asked)
            hasty.error = 0
            await until(lambda: admitted)
            acceptor.stop()
            close([client], admitted)


def close(clients: list[socket.socket], admitted: Admitted) -> None:
    """Close all of them."""
    for sock in (*clients, *(one for one, _ in admitted)):
        sock.close()
