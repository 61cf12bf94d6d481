"""One connection of a client: a non-blocking socket, in clear or in TLS, with a deadline for every wait."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Generator
from contextlib import suppress
from types import coroutine as plain_coroutine

from loadtest.fleet.engine import BROKEN, READ, RECORD, WRITE, Engine, Job
from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure

_IP_BIND_ADDRESS_NO_PORT = 24
"""Linux: the port is chosen when connecting, so one address serves as many connections as there are ports and peers."""

PATIENCE = 60.0
"""Seconds in which a server has to answer: mail programs give up after about as long."""

_UNWATCHED, _DEAF = -1, -2


class Connection:
    """What one job reads and writes. Whatever it waits for has to come within `patience` seconds of what it sent last.

    Failures are those of `proxy.protocols.wire`: `EndOfStream`, `Expired`, `TlsFailure`.
    """

    __slots__ = ("_armed", "_engine", "_inbox", "_waiting", "deadline", "fd", "patience", "received", "sent", "sock")

    def __init__(self, engine: Engine, family: int = socket.AF_INET, patience: float = PATIENCE) -> None:
        self._engine = engine
        self._inbox = Inbox()
        self._waiting: Job | None = None
        self._armed = _UNWATCHED
        self.patience = patience
        self.deadline = engine.now() + patience
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()
        self.received = 0
        self.sent = 0
        engine.timed[self] = None

    async def connect(self, address: tuple[str, int], source: str = "") -> None:
        """Open it, from the given address if there is one."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self.sock.bind((source, 0))
        self.sock.connect_ex(address)
        await self.wait(WRITE)
        if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise EndOfStream(os.strerror(error))

    async def start_tls(self, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None = None) -> None:
        """Begin TLS with a server that has a certificate for `name`, resuming `session`. Raises `TlsFailure`."""
        try:
            wrapped = context.wrap_socket(
                self.sock, server_hostname=name, do_handshake_on_connect=False, session=session
            )
        except OSError as error:
            raise EndOfStream(error.strerror) from None
        self.sock = wrapped
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                await self.wait(READ)
            except ssl.SSLWantWriteError:
                await self.wait(WRITE)
            except ssl.SSLError as error:
                raise TlsFailure(error.reason or str(error)) from None
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            else:
                return

    @property
    def resumed(self) -> bool:
        """Whether TLS went on from an earlier session."""
        return isinstance(self.sock, ssl.SSLSocket) and bool(self.sock.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection can resume, once the server has said something."""
        return self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None

    async def line(self, limit: int = 8192) -> bytes:
        """The next line without its end; raises `LineTooLong` and `BareNewline` as well."""
        while (line := self._inbox.take_line(limit)) is None:
            await self.receive()
        return line

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        pieces, missing = [self._inbox.drain()], count
        missing -= len(pieces[0])
        while missing > 0:
            pieces.append(await self._read())
            missing -= len(pieces[-1])
        whole = b"".join(pieces)
        if missing < 0:
            self._inbox.feed(whole[count:])
        return whole[:count]

    async def receive(self) -> None:
        """Wait for anything, and keep it for `line` and `exactly`."""
        self._inbox.feed(await self._read())

    async def heard(self, until: float) -> bool:
        """Whether anything comes until this time of the engine's clock (within `SWEEP`)."""
        if len(self._inbox):
            return True
        self.deadline = until
        try:
            await self.receive()
        except Expired:
            return False
        finally:
            self.deadline = self._engine.now() + self.patience
        return True

    async def sip(self, most: int) -> None:
        """Read a few bytes and forget them, so that the sender soon has to wait."""
        self.deadline = self._engine.now() + self.patience
        while True:
            if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
                await self.wait(READ)
            try:
                count = self.sock.recv_into(self._engine.buffer, most)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            if not count:
                raise EndOfStream("closed")
            self.received += count
            return

    def forget(self) -> None:
        """Drop what has come and was not read."""
        self._inbox.drain()

    async def send(self, data: bytes) -> None:
        """Returns when the kernel has taken everything."""
        self.deadline = self._engine.now() + self.patience
        rest = memoryview(data)
        while rest:
            try:
                count = self.sock.send(rest)
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self.wait(WRITE)
            except ssl.SSLWantReadError:
                await self.wait(READ)
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            else:
                self.sent += count
                rest = rest[count:]

    @plain_coroutine
    def wait(self, events: int) -> Generator[None, None, None]:
        """Until the socket is ready for `events`, or broken."""
        if self._armed == _DEAF:
            return
        self._arm(events)
        self._waiting = self._engine.current
        try:
            yield
        finally:
            self._waiting = None

    def ready(self, events: int) -> None:
        if self._waiting is not None:
            self._waiting.resume()
        elif events & BROKEN:
            self._engine.deafen(self.fd)
            self._armed = _DEAF
        else:
            self._arm(0)  # data that nobody waits for yet

    def expire(self) -> None:
        if self._waiting is not None:
            self._waiting.fail(Expired())

    def farewell(self, words: bytes) -> None:
        """Send what fits, and close: for whoever has no time to wait for an answer."""
        if words and self in self._engine.timed:
            with suppress(OSError, ValueError):
                self.sock.send(words)
        self.close()

    def close(self) -> None:
        """Close at once, with a `close_notify` if it is in TLS; a second call does nothing."""
        if self._engine.timed.pop(self, self) is self:
            return
        with suppress(OSError, ValueError):
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        self._engine.close(self.fd, self.sock)

    def vanish(self) -> None:
        """Close as a telephone does that loses its network: without a word of TLS."""
        if self._engine.timed.pop(self, self) is self:
            return
        self._engine.close(self.fd, self.sock)

    async def _read(self) -> bytes:
        """Wait first: at each wait of a conversation the answer is never there yet, and a failed read costs more."""
        while True:
            pending = self.sock.pending() if isinstance(self.sock, ssl.SSLSocket) else 0
            if not pending:
                await self.wait(READ)
            try:
                count = self.sock.recv_into(self._engine.buffer, RECORD)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ssl.SSLWantWriteError:
                await self.wait(WRITE)
                continue
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            if not count:
                raise EndOfStream("closed")
            self.received += count
            return bytes(self._engine.buffer[:count])

    def _arm(self, events: int) -> None:
        if events == self._armed or self._armed == _DEAF:
            return
        if self._armed == _UNWATCHED:
            self._engine.register(self.fd, self, events)
        else:
            self._engine.modify(self.fd, events)
        self._armed = events
