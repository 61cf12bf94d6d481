"""A connected socket under a conversation: TCP or unix, in clear or in TLS, on any event loop that watches descriptors.

It does what the loops' own transports do with less in between: one call of the system for each read, one for all that
is written in a turn of the loop, and one delivery for all the TLS records that a read brought. A descriptor always
leaves the loop before it is closed, because the next connection gets the same number.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from ldapmap.client.address import Address

_CHUNK = 65_536  # bytes read at a time; never less than a TLS record, which has at most 16,384
_UNSENT_LIMIT = 1_048_576  # bytes that may wait for a server to read; the largest bind has about 64 KiB
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}  # seconds, seconds, probes
_NOT_YET = (BlockingIOError, InterruptedError)


class Receiver(Protocol):
    """Who is told what arrives. `connection_lost` is called at most once, and not after `close` or `abort`."""

    def data_received(self, data: bytes) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None:
        """`exc` is None when the other side closed in an orderly way."""
        ...


class Transport:
    """Owns a socket from the moment it is made. Nothing is read before `start` or `start_tls`."""

    def __init__(self, connected: socket.socket, receiver: Receiver) -> None:
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._socket = connected
        self._descriptor = connected.fileno()
        self._receiver = receiver
        self._written = b""
        self._unsent = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()

    def start(self) -> None:
        """Deliver what arrives from now on."""
        self._loop.add_reader(self._descriptor, self._readable)

    async def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Shake hands with a server that has to be `name`, and deliver what arrives from then on.

        Whoever waits sets the time limit. Raises OSError, of which ssl.SSLError is a kind; then only `abort` is left.
        """
        self._loop.remove_reader(self._descriptor)
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while not await self._shaken(tls):
            self._incoming.write(await self._arrived())
        self._tls = tls
        self.start()
        self._decrypt(tls)

    def write(self, data: bytes) -> None:
        """Send in this turn of the loop, or when the server reads again. More than a megabyte loses the connection."""
        if self.closed:
            return
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written += data
        if len(self._written) > _CHUNK:
            self._flush()

    def send(self, data: bytes) -> None:
        """Send now, behind what was written before: for one who has nothing else to say in this turn."""
        if not self.closed:
            self._written += data
            self._flush()

    def close(self) -> None:
        """Say the goodbye of TLS and close; what could not be sent until now is dropped. May be called again."""
        self._flush()
        if self._tls is not None and not self.closed:
            with contextlib.suppress(OSError):  # it would wait for the other side's goodbye: we do not
                self._tls.unwrap()
            self._send(self._outgoing.read())
        self.abort()

    def abort(self) -> None:
        """Close at once. May be called again."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._socket.close()

    # --- called by the event loop ---

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except _NOT_YET:
            return
        except OSError as error:
            self._lost(error)
            return
        if not data:
            self._lost(None)
        elif self._tls is None:
            self._receiver.data_received(data)
        else:
            self._incoming.write(data)
            self._decrypt(self._tls)

    def _flush(self) -> None:
        """Send what was written, all at once: searches that begin together travel together."""
        if self.closed or not self._written:
            return
        data, self._written = self._written, b""
        if self._tls is not None:
            try:
                self._tls.write(data)
            except OSError as error:
                self._lost(error)
                return
            data = self._outgoing.read()
        self._send(data)

    def _writable(self) -> None:
        self._loop.remove_writer(self._descriptor)
        unsent = bytes(self._unsent)
        self._unsent.clear()
        self._send(unsent)

    # --- details ---

    async def _shaken(self, tls: ssl.SSLObject) -> bool:
        """Whether hands have been shaken; else more has to arrive. What TLS says is sent in any case."""
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._send(self._outgoing.read())
        return True

    async def _arrived(self) -> bytes:
        await _until(self._loop.add_reader, self._loop.remove_reader, self._descriptor)
        try:
            data = self._socket.recv(_CHUNK)
        except _NOT_YET:
            return b""
        if not data:
            raise ConnectionError("the server closed the connection while TLS began")
        return data

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        """Deliver what the records that are complete contain, and close if the last one says goodbye."""
        parts: list[bytes] = []
        try:
            while self._incoming.pending and (not parts or parts[-1]):
                parts.append(tls.read(_CHUNK))
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            self._lost(error)
            return
        if self._outgoing.pending:  # TLS itself had something to say
            self._send(self._outgoing.read())
        if data := b"".join(parts):
            self._receiver.data_received(data)
        if parts and not parts[-1]:
            self._lost(None)

    def _send(self, data: bytes) -> None:
        sent = 0
        if not self._unsent:
            try:
                sent = self._socket.send(data)
            except _NOT_YET:
                pass
            except OSError as error:
                self._lost(error)
                return
        if sent < len(data):
            self._keep(data[sent:])

    def _keep(self, data: bytes) -> None:
        if len(self._unsent) + len(data) > _UNSENT_LIMIT:
            self._lost(ConnectionError("the server does not read what it is sent"))
            return
        if not self._unsent:
            self._loop.add_writer(self._descriptor, self._writable)
        self._unsent += data

    def _lost(self, error: Exception | None) -> None:
        if not self.closed:
            self.abort()
            self._receiver.connection_lost(error)


async def connect(address: Address, seconds: float) -> socket.socket:
    """A connected socket that does not block. All addresses of the name are tried in turn.

    Each gets its share of `seconds`; that all of them together take no longer is up to the caller. Raises OSError.
    """
    if address.scheme == "ldapi":
        return await _connect(socket.AF_UNIX, 0, address.path)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    found = await _addresses(address.host, address.port)
    for left in range(len(found), 1, -1):
        family, _, protocol, _, where = found[-left]
        with contextlib.suppress(OSError):  # the failure of the last one is told
            async with asyncio.timeout((end - loop.time()) / left):
                return await _connect(family, protocol, where)
    family, _, protocol, _, where = found[-1]
    return await _connect(family, protocol, where)


async def _addresses(host: str, port: int) -> list[Any]:
    """What a name stands for; an address stands for itself, which needs no thread that may have to wait."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect(family: int, protocol: int, where: Any) -> socket.socket:
    new = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        new.setblocking(False)
        error = new.connect_ex(where)
        if error == errno.EINPROGRESS:
            loop = asyncio.get_running_loop()
            await _until(loop.add_writer, loop.remove_writer, new.fileno())
            error = new.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if family != socket.AF_UNIX:
            _tune(new)
    except BaseException:
        new.close()
        raise
    return new


def _tune(connected: socket.socket) -> None:
    """Small requests leave at once, and a peer that vanished is noticed while nobody asks it anything."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


async def _until(watch: Callable[..., Any], forget: Callable[[int], Any], descriptor: int) -> None:
    """Return when the loop says that the descriptor is ready."""
    ready = asyncio.Event()
    watch(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        forget(descriptor)
