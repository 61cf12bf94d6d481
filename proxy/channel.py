"""One connection during login, as a wire for the dialogues: a wait costs no registration and has a deadline."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from sys import intern

from proxy.dispatcher import BROKEN, READ, RECORD, WRITE, Dispatcher
from proxy.linger import part
from proxy.protocols.inbox import Inbox
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure, WireFailure
from proxy.waiting import Wait

Upgrade = Callable[["Channel"], Awaitable[None]]


class Channel:
    """A non-blocking socket, in clear or in TLS, that one coroutine reads and writes.

    `deadline` is the loop time after which the dispatcher's sweep raises `Expired` in the present wait. `on_gone` is
    called when the connection breaks while nobody waits for it. `upgrade` starts TLS when a dialogue asks for it.
    `more_time` is asked once, when the deadline has passed, for another one.
    """

    __slots__ = (
        "_armed",
        "_deaf",
        "_dispatcher",
        "_inbox",
        "_wait",
        "certificate_user",
        "deadline",
        "fd",
        "more_time",
        "on_gone",
        "secure",
        "sock",
        "upgrade",
    )

    def __init__(self, dispatcher: Dispatcher, sock: socket.socket, *, deadline: float, armed: int = READ) -> None:
        self._dispatcher = dispatcher
        self._inbox = Inbox()
        self._wait = Wait(dispatcher.loop)
        self._armed = armed
        self._deaf = False
        self.sock: socket.socket = sock
        self.fd = sock.fileno()
        self.deadline = deadline
        self.secure = False
        self.certificate_user = ""
        self.on_gone: Callable[[], None] | None = None
        self.upgrade: Upgrade | None = None
        self.more_time: Callable[[], float] | None = None
        dispatcher.register(self.fd, self, armed)
        dispatcher.timed[self] = None

    async def line(self, limit: int) -> bytes:
        inbox = self._inbox
        while (line := inbox.take_line(limit)) is None:
            await self._receive(RECORD)
        return line

    async def exactly(self, count: int) -> bytes:
        inbox = self._inbox
        while (data := inbox.take(count)) is None:
            await self._receive(RECORD if isinstance(self.sock, ssl.SSLSocket) else count - len(inbox))
        return data

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                sent = self.sock.send(rest)
            except (BlockingIOError, ssl.SSLWantWriteError):
                await self.wait(WRITE)
            except ssl.SSLWantReadError:
                await self.wait(READ)
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            else:
                rest = rest[sent:]

    async def start_tls(self) -> None:
        if len(self._inbox):
            raise TlsFailure("bytes behind STARTTLS")
        if self.upgrade is None:
            raise TlsFailure("no TLS on this connection")
        await self.upgrade(self)

    async def wait(self, events: int) -> None:
        """Until the socket is ready for `events`, or broken; raises what `interrupt` is given."""
        if self._deaf:
            return
        if events != self._armed:
            self._dispatcher.modify(self.fd, events)
            self._armed = events
        await self._wait

    def interrupt(self, failure: WireFailure) -> bool:
        """Raise `failure` in the present wait; whether there was one."""
        return self._wait.fail(failure)

    def ready(self, events: int) -> None:
        if self._wait.pending:
            self._wait.finish()
        elif events & BROKEN:
            self._dispatcher.deafen(self.fd)
            self._deaf = True
            if self.on_gone is not None:
                self.on_gone()
        else:
            # Data that nobody waits for yet: pipelining behind a login that is under way.
            self._dispatcher.modify(self.fd, 0)
            self._armed = 0

    def abort(self) -> None:
        self.interrupt(EndOfStream())
        self.close()

    def expire(self) -> None:
        if self.more_time is not None:
            self.deadline, self.more_time = self.more_time(), None
        if self.deadline <= self._dispatcher.now():
            self.interrupt(Expired())

    def release(self) -> tuple[socket.socket, bytes, int]:
        """The socket, what was received and not read, and the events it is watched for: for whoever takes it over."""
        self._dispatcher.timed.pop(self, None)
        return self.sock, self._inbox.drain(), 0 if self._deaf else self._armed

    def tls_version(self) -> str:
        """As in "TLSv1.3"; empty without TLS."""
        return intern(self.sock.version() or "") if isinstance(self.sock, ssl.SSLSocket) else ""

    def tls_cipher(self) -> str:
        """As in "TLS_AES_256_GCM_SHA384"; empty without TLS."""
        cipher = self.sock.cipher() if isinstance(self.sock, ssl.SSLSocket) else None
        return intern(cipher[0]) if cipher else ""

    def part(self) -> None:
        """Close so that the peer gets everything that was sent; a second call does nothing."""
        if self._forgotten():
            return
        part(self._dispatcher, self.fd, self.sock, heard=self._deaf)

    def close(self) -> None:
        """Close at once, with a `close_notify` if it is in TLS; a second call does nothing."""
        if self._forgotten():
            return
        with suppress(OSError, ValueError):
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.unwrap()
        self._dispatcher.close(self.fd, self.sock)

    def _forgotten(self) -> bool:
        """Whether this channel has given its socket up before; it has now."""
        return self._dispatcher.timed.pop(self, self) is self

    async def _receive(self, count: int) -> None:
        """Wait first: at each of a login's waits the data is never there yet, and a failed read costs an exception."""
        while True:
            if not self._deaf:
                if self._armed != READ:
                    self._dispatcher.modify(self.fd, READ)
                    self._armed = READ
                await self._wait  # not self.wait(): one frame less to resume, at each wait of each login
            try:
                got = self.sock.recv_into(self._dispatcher.buffer, count)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ssl.SSLWantWriteError:
                await self.wait(WRITE)
                continue
            except OSError as error:
                raise EndOfStream(error.strerror) from None
            if not got:
                raise EndOfStream
            self._inbox.feed(bytes(self._dispatcher.buffer[:got]))
            return
