"""Connected sockets, in clear and in TLS, and an event loop's dispatcher, for the tests of what moves bytes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import tls
from proxy.dispatcher import Dispatcher

T = TypeVar("T")


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected, non-blocking TCP sockets on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    for sock in (one, other):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


class Tls:
    """A server's contexts, and a client's context that trusts them by the name localhost."""

    def __init__(self, folder: Path, *, alpn: str = "imap") -> None:
        self.authority = tls.ThrowawayAuthority()
        files = self.authority.issue(folder, "server", dns=("localhost",))
        self.server = tls.ServerContexts([tls.read_pair(files)], alpn=alpn)
        self.client = tls.backend_context(self.authority.write_ca(folder / "ca.pem"), True)

    def wrapped(self, client: socket.socket, server: socket.socket) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
        """Both ends of a connection in TLS, handshake done."""
        ours = self.client.wrap_socket(client, server_hostname="localhost", do_handshake_on_connect=False)
        theirs = self.server.context.wrap_socket(server, server_side=True, do_handshake_on_connect=False)
        pending = [ours, theirs]
        while pending:
            for sock in tuple(pending):
                try:
                    sock.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                pending.remove(sock)
        return ours, theirs


@asynccontextmanager
async def dispatching(*, linger: float = 5.0) -> AsyncIterator[Dispatcher]:
    """A dispatcher in the running loop."""
    dispatcher = Dispatcher(asyncio.get_running_loop(), linger=linger)
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition, going round the loop; raises AssertionError when it does not come true."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0)


async def read(sock: socket.socket, count: int = 65536) -> bytes:
    """The next bytes a non-blocking peer gets, or nothing at the end of the stream."""
    try:
        return await _retried(lambda: sock.recv(count))
    except ssl.SSLZeroReturnError:
        return b""


async def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Exactly so many bytes, fewer at the end of the stream."""
    data = b""
    while len(data) < count and (piece := await read(sock, min(65536, count - len(data)))):
        data += piece
    return data


async def read_all(sock: socket.socket) -> bytes:
    """Everything until the end of the stream."""
    data = b""
    while piece := await read(sock):
        data += piece
    return data


async def write(sock: socket.socket, data: bytes) -> None:
    """Send all of it, as slowly as the other side takes it."""
    rest = memoryview(data)
    while rest:
        rest = rest[await _retried(partial(sock.send, rest)) :]


async def _retried(action: Callable[[], T]) -> T:
    while True:
        try:
            return action()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            await asyncio.sleep(0)
