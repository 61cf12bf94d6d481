"""A mail client that logs in, asks where it is and waits in IDLE: one small object, for thousands in one process."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Self, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds a login may take."""

PAUSE = 0.01
"""Seconds after a refusal before the next try."""

_NAME = re.compile(rb'"name" "([^"]*)"')


class Front(NamedTuple):
    """Where clients connect, and how they verify it."""

    port: int
    context: ssl.SSLContext


class Refused(Exception):
    """The login was not accepted; the text is the answer, or how the connection ended."""


class Client:
    """A connection in TLS that never blocks its event loop. Lines come without their end."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._unread = b""

    @classmethod
    async def connect(cls, front: Front) -> Self:
        """Raises OSError."""
        plain = socket.socket()
        plain.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", front.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = front.context.wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        client = cls(sock)
        try:
            await client._do(sock.do_handshake)
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    async def line(self) -> bytes:
        """The next line; b"" when the other side has ended the session."""
        while b"\n" not in self._unread:
            try:
                data = await self._do(lambda: self._socket.recv(4096))
            except OSError:
                return b""
            if not data:
                return b""
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.rstrip(b"\r")

    async def ask(self, tag: bytes, command: bytes) -> list[bytes]:
        """Give a command; return the lines up to a "+" or the tagged one. Raises Refused unless that is OK, and when
        the other side says goodbye without being asked to."""
        await self._do(lambda: self._socket.send(b"%b %b\r\n" % (tag, command)))
        lines = [await self.line()]
        while not lines[-1].startswith((tag + b" ", b"+")):
            if not lines[-1] or (lines[-1].startswith(b"* BYE") and command != b"LOGOUT"):
                raise Refused(lines[-1].decode(errors="replace") or "closed")
            lines.append(await self.line())
        if not lines[-1].startswith((tag + b" OK", b"+")):
            raise Refused(lines[-1].decode(errors="replace"))
        return lines

    async def _do(self, operation: Callable[[], T]) -> T:
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except ssl.SSLWantWriteError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)

    async def _ready(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        descriptor = self._socket.fileno()
        add(descriptor, _tell, ready)
        try:
            await ready
        finally:
            remove(descriptor)


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


@dataclass(slots=True)
class Session:
    """A session that is logged in at the backend `where`."""

    client: Client
    where: str
    ended: float = 0.0
    """When the other side has ended it, by `time.monotonic`."""

    async def idle(self) -> None:
        """Begin to wait in IDLE. Raises Refused and OSError."""
        await self.client.ask(b"i", b"IDLE")

    async def end(self) -> str:
        """Return what was said last, or "closed", when the other side has ended it."""
        said = "closed"
        while line := await self.client.line():
            said = line.decode(errors="replace")
        self.ended = time.monotonic()
        self.client.close()
        return said

    async def log_out(self) -> None:
        """Leave. Raises Refused and OSError."""
        await self.client.ask(b"z", b"LOGOUT")
        self.client.close()


async def log_in(front: Front, user: str, password: str) -> Session:
    """Raises Refused, also for silence, and OSError."""
    try:
        async with asyncio.timeout(PATIENCE):
            client = await Client.connect(front)
            try:
                await client.line()
                await client.ask(b"a", f'LOGIN "{user}" "{password}"'.encode())
                answer = b"".join(await client.ask(b"b", b"ID NIL"))
            except BaseException:
                client.close()
                raise
    except TimeoutError:
        raise Refused(f"no answer within {PATIENCE:g} s") from None
    name = _NAME.search(answer)
    return Session(client, name[1].decode() if name else "")


@dataclass(slots=True)
class Return:
    """How a client came (back) in: `seconds` from its first try, `last` those of the last one, which succeeded, and of
    each that did not how long it took and what it was told."""

    session: Session
    seconds: float
    last: float
    refusals: list[tuple[float, str]] = field(default_factory=list)


async def come_in(front: Front, user: str, password: str, *, at: str = "") -> Return:
    """Log in again and again, at once after each refusal, until it succeeds; if `at` is given, there.

    A login that lands elsewhere counts as none and is logged out. Raises Refused after `PATIENCE` seconds.
    """
    began = time.monotonic()
    refusals: list[tuple[float, str]] = []
    while (tried := time.monotonic()) < began + PATIENCE:
        try:
            session = await log_in(front, user, password)
            if not at or session.where == at:
                now = time.monotonic()
                return Return(session, now - began, now - tried, refusals)
            await session.log_out()
            refusals.append((time.monotonic() - tried, f"was at {session.where}"))
        except (Refused, OSError) as refused:
            refusals.append((time.monotonic() - tried, str(refused)))
        await asyncio.sleep(PAUSE)
    raise Refused(f"{user} was not let in within {PATIENCE:g} s: {refusals[-1][1]}")
