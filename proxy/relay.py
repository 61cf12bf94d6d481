"""A session that is logged in: bytes from one socket to the other, and nothing else.

No task, no coroutine and no buffer belongs to a session here: it is two sockets, the two ends below, and the record
its owner keeps. All sessions of a worker share one receive buffer. While an end has unsent bytes, the other one is not
read (back pressure). A client's end of stream is passed on and the backend may go on talking; the backend's ends the
session, behind everything that the client has still to get.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from proxy.dispatcher import BROKEN, BUFFER, READ, RECORD, WRITE, Dispatcher
from proxy.linger import part

Meter = Callable[[int], None]


class Owner(Protocol):
    """What a relay belongs to."""

    def half_closed(self, relay: Relay) -> None:
        """The client has closed its direction; the relay goes on until the backend has, or `end` is called."""

    def ended(self, relay: Relay, closed_by: str) -> None:
        """The relay has given up its sockets; called once."""


class End:
    """One socket of a relay: what it receives goes out at `other`."""

    __slots__ = ("_deaf", "_meter", "_relay", "_watched", "at_end", "fd", "leftover", "other", "received", "sock")

    other: End

    def __init__(self, relay: Relay, sock: socket.socket, watched: int, meter: Meter) -> None:
        self._relay = relay
        self.sock = sock
        self.fd = sock.fileno()
        self.leftover = b""
        self.received = 0
        self.at_end = False
        self._meter = meter
        self._watched = watched
        self._deaf = False

    def ready(self, events: int) -> None:
        if events == READ:  # nearly always
            self._pump()
            return
        if events & WRITE:
            if self.leftover:
                self._flush()
            else:  # OpenSSL had to write before it could read
                self._pump()
                self.watch()
        if events & READ:
            self._pump()
        elif events & BROKEN:
            self._broken()

    def abort(self) -> None:
        self._relay.end("internal")

    def watch(self) -> None:
        """Watch for what the present state calls for; costs nothing while that stays the same."""
        if self._deaf or self._relay.over:
            return
        events = 0 if self.at_end or self.other.leftover else READ
        if self.leftover:
            events |= WRITE
        if events != self._watched:
            self._relay.dispatcher.modify(self.fd, events)
            self._watched = events

    def give(self, data: bytes | memoryview) -> None:
        """Send `data`; called without leftovers. What the socket does not take is copied and kept."""
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError:
            self.leftover = bytes(data)  # what cannot be said any more keeps the other side from being read
            self._broken()
            return
        if sent < len(data):
            # OpenSSL must be given the very same bytes again, and the shared buffer will hold others by then.
            self.leftover = bytes(data[sent:])
            self.watch()
            self.other.watch()

    def finish(self) -> None:
        """Pass the other side's end of stream on to a backend.

        TCP's alone: behind a close_notify of ours, Python's `ssl` could not read what the backend has still to say.
        """
        with suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_WR)

    def _flush(self) -> None:
        data, self.leftover = self.leftover, b""
        self.give(data)
        if not self.leftover and not self._relay.over:
            self._relay.flushed(self)
        if not self.leftover and not self._relay.over:
            self.watch()
            self.other.resume()

    def resume(self) -> None:
        """Read again after a pause; what epoll does not watch any more is read until its end or the next pause."""
        if self._relay.over:
            return
        if self._deaf and not self.at_end and not self.other.leftover:
            self._pump()
            self._relay.dispatcher.loop.call_soon(self.resume)
        self.watch()

    def _pump(self) -> None:
        if self._relay.over or self.at_end or self.other.leftover:
            return
        sock, buffer = self.sock, self._relay.dispatcher.buffer
        try:
            count = sock.recv_into(buffer)
            if count == RECORD and isinstance(sock, ssl.SSLSocket):
                count = _bulk(sock, buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._watched = READ | WRITE
            self._relay.dispatcher.modify(self.fd, self._watched)
            return
        except OSError:
            count = 0
        if count:
            self.received += count
            self._meter(count)
            self.other.give(buffer[:count])
        else:
            self.at_end = True
            self._relay.reached_end(self)
            self.watch()

    def _broken(self) -> None:
        """The connection was reset; epoll would tell us so without end."""
        if not self._deaf:
            self._relay.dispatcher.deafen(self.fd)
            self._deaf = True
        self._relay.broke(self)


def _bulk(sock: ssl.SSLSocket, buffer: memoryview) -> int:
    """Bytes in the buffer when as many whole records as are there have followed the first: bulk costs fewer turns."""
    count = last = RECORD
    while last == RECORD and count <= BUFFER - RECORD:
        try:
            last = sock.recv_into(buffer[count:])
        except OSError:
            break  # not there yet; or broken, which the next read meets again
        count += last
    return count


class Relay:
    """Two connected ends, and the rules by which a session is over."""

    __slots__ = ("_closed_by", "_owner", "backend", "client", "dispatcher", "over")

    def __init__(self, dispatcher: Dispatcher, owner: Owner) -> None:
        self.dispatcher = dispatcher
        self.over = False
        self._owner = owner
        self._closed_by = ""
        self.client: End
        self.backend: End

    def start(self, client: End, backend: End, to_client: bytes, to_backend: bytes) -> None:
        """Splice two watched sockets; each side is first given what login had already received for it."""
        self.client, self.backend = client, backend
        client.other, backend.other = backend, client
        self.dispatcher.hand_over(client.fd, client)
        self.dispatcher.hand_over(backend.fd, backend)
        for end, data in ((client, to_client), (backend, to_backend)):
            if data and not self.over:
                end.give(data)
        if not self.over:
            client.watch()
            backend.watch()

    def end(self, closed_by: str) -> None:
        """Close both sides now; a client that may still listen gets its close_notify. A second call does nothing."""
        if self.over:
            return
        self.over = True
        if isinstance(self.backend.sock, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.backend.sock.unwrap()
        self.dispatcher.close(self.backend.fd, self.backend.sock)
        part(self.dispatcher, self.client.fd, self.client.sock, heard=self.client.at_end)
        self._owner.ended(self, self._closed_by or closed_by)
        # No cycle is left for the collector: what has ended is gone at once, with OpenSSL's 13 KiB.
        del self.client.other, self.backend.other, self.client, self.backend

    def reached_end(self, end: End) -> None:
        """`end` will send no more."""
        self._closed_by = self._closed_by or self._side(end)
        if end is self.backend:
            self.flushed(self.client)
            return
        self.flushed(self.backend)
        if not self.over:
            self._owner.half_closed(self)

    def flushed(self, end: End) -> None:
        """`end` has nothing unsent: if the other side is at its end, `end` is told so."""
        if end.leftover or not end.other.at_end:
            return
        if end is self.client:
            self.end("backend")
        else:
            end.finish()

    def broke(self, end: End) -> None:
        """`end` was reset. A client is gone; a backend's last words may still be there to read."""
        if end is self.client:
            self.end("client")
        else:
            end.resume()
            if not self.over:
                self.client.watch()

    def _side(self, end: End) -> str:
        return "client" if end is self.client else "backend"
