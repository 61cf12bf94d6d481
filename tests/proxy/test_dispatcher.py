"""The epoll of our own: who is called, when sockets are closed, and that one handler's error is nobody else's."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from proxy.dispatcher import BROKEN, READ, Dispatcher
from tests.proxy.sockets import dispatching, tcp_pair, until


class Listener:
    """Reads what comes and remembers what it was told."""

    def __init__(self, dispatcher: Dispatcher, sock: socket.socket) -> None:
        self.dispatcher = dispatcher
        self.sock = sock
        self.fd = sock.fileno()
        self.events: list[int] = []
        self.aborted = 0
        self.others: list[Listener] = []
        self.error: Exception | None = None

    def ready(self, events: int) -> None:
        self.events.append(events)
        if self.error is not None:
            raise self.error
        self.sock.recv(100)
        for other in self.others:
            self.dispatcher.close(other.fd, other.sock)

    def abort(self) -> None:
        self.aborted += 1
        self.dispatcher.close(self.fd, self.sock)


async def test_a_handler_is_called_for_its_descriptor_only() -> None:
    async with dispatching() as dispatcher:
        pairs = [tcp_pair() for _ in range(3)]
        listeners = [Listener(dispatcher, ours) for ours, _ in pairs]
        for listener in listeners:
            dispatcher.register(listener.fd, listener, READ)
        pairs[1][1].send(b"hello")
        await until(lambda: listeners[1].events)
        assert [len(listener.events) for listener in listeners] == [0, 1, 0]


async def test_a_handed_over_descriptor_belongs_to_the_new_handler() -> None:
    async with dispatching() as dispatcher:
        ours, theirs = tcp_pair()
        first, second = Listener(dispatcher, ours), Listener(dispatcher, ours)
        dispatcher.register(first.fd, first, READ)
        dispatcher.hand_over(second.fd, second)
        theirs.send(b"hello")
        await until(lambda: second.events)
        assert first.events == []


async def test_a_socket_closed_in_a_turn_stays_open_until_its_end_so_that_its_number_is_not_reused() -> None:
    async with dispatching() as dispatcher:
        pairs = [tcp_pair() for _ in range(2)]
        one, two = (Listener(dispatcher, ours) for ours, _ in pairs)
        one.others, two.others = [two], [one]
        for listener in (one, two):
            dispatcher.register(listener.fd, listener, READ)
        for _, theirs in pairs:
            theirs.send(b"both are ready in one turn")
        await until(lambda: one.events or two.events)
        assert len(one.events) + len(two.events) == 1
        await until(lambda: one.sock.fileno() < 0 or two.sock.fileno() < 0)


async def test_an_unforeseen_error_aborts_one_handler_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with dispatching() as dispatcher:
        (bad_sock, bad_peer), (good_sock, good_peer) = tcp_pair(), tcp_pair()
        bad, good = Listener(dispatcher, bad_sock), Listener(dispatcher, good_sock)
        bad.error = RuntimeError("unforeseen")
        for listener in (bad, good):
            dispatcher.register(listener.fd, listener, READ)
        with caplog.at_level(logging.ERROR):
            bad_peer.send(b"x")
            good_peer.send(b"x")
            await until(lambda: bad.aborted and good.events)
        assert "unforeseen" in caplog.text
        assert bad.aborted == 1


async def test_a_reset_cannot_be_masked_but_a_deafened_descriptor_is_quiet() -> None:
    async with dispatching() as dispatcher:
        ours, theirs = tcp_pair()
        listener = Listener(dispatcher, ours)
        listener.error = OSError()
        dispatcher.register(listener.fd, listener, 0)
        listener.abort = lambda: dispatcher.deafen(listener.fd)  # type: ignore[method-assign]
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        await until(lambda: listener.events)
        assert listener.events[0] & BROKEN
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(listener.events) == 1


async def test_many_descriptors_fit() -> None:
    async with dispatching() as dispatcher:
        ours, theirs = tcp_pair()
        high = socket.socket(fileno=_duplicate_above(ours.detach(), 3000))
        listener = Listener(dispatcher, high)
        dispatcher.register(listener.fd, listener, READ)
        theirs.send(b"x")
        await until(lambda: listener.events)
        assert listener.fd >= 3000


def _duplicate_above(fd: int, least: int) -> int:
    import fcntl
    import os

    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
    os.close(fd)
    return high


class Due:
    """Something with a deadline."""

    def __init__(self, dispatcher: Dispatcher, deadline: float) -> None:
        self.dispatcher = dispatcher
        self.deadline = deadline
        self.expired = 0

    def expire(self) -> None:
        self.expired += 1
        del self.dispatcher.timed[self]


async def test_a_sweep_expires_what_is_due_and_nothing_else() -> None:
    async with dispatching() as dispatcher:
        past, future = Due(dispatcher, dispatcher.now() - 1), Due(dispatcher, dispatcher.now() + 60)
        dispatcher.timed.update({past: None, future: None})
        dispatcher.sweep()
        dispatcher.sweep()
        assert (past.expired, future.expired) == (1, 0)
