"""A session that is logged in: bytes from one socket to the other, and nothing else.

No task, no coroutine and no buffer belongs to a session here: it is two sockets, the two ends below, and the record
its owner keeps. All sessions of a worker share one receive buffer. While an end has unsent bytes, the other one is not
read (back pressure). A client's end of stream is passed on and the backend may go on talking; the backend's ends the
session, behind everything that the client has still to get.

The relay understands nothing of what it carries, with one exception, for the sake of a farewell: it knows whether the
client would take what it gets next for a response of its own (`Relay.between_responses`).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from proxy.dispatcher import BROKEN, BUFFER, READ, RECORD, WRITE, Dispatcher
from proxy.farewell import Farewell
from proxy.linger import part

Meter = Callable[[int], None]

#: Pieces from one side without a word from the other, after which more are expected to be there already.
_STREAM = 4

#: Bytes of the longest piece that is looked at: responses are short but for what has literals.
_SHORT = 1024
_LF = 10


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

    def ready(self, events: int) -> None:  # noqa: C901 (where a session spends its time: each call would cost)
        if events != READ:  # seldom
            self._act_on(events)
            return
        relay = self._relay
        if relay.over or self.at_end or self.other.leftover:
            return
        sock, buffer = self.sock, relay.dispatcher.buffer
        if relay.speaker is self:
            relay.pieces += 1
        else:
            relay.speaker, relay.pieces = self, 0
        ended = False
        try:
            if isinstance(sock, ssl.SSLSocket):
                # Not `recv_into`, which comes to this by three calls more; with a buffer it returns the count.
                count: int = sock.read(BUFFER, buffer)  # type: ignore[assignment]
                if count == RECORD or (relay.pieces >= _STREAM and count):
                    count, ended = _bulk(sock, buffer, count)
            else:
                count = sock.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ssl.SSLWantWriteError:
            self._watched = READ | WRITE
            relay.dispatcher.modify(self.fd, self._watched)
            return
        except OSError:
            count = 0
        if count:
            self.received += count
            self._meter(count)
            # See `Relay.between_responses`; written out here, where a session spends its time.
            whole = count <= _SHORT and buffer[count - 1] == _LF
            relay.spoke = self if whole and (relay.spoke or self is relay.client) else None
            self.other.give(buffer[:count])
            if ended:
                self._reached_end()
        else:
            self._reached_end()

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
            self.ready(READ)
            self._relay.dispatcher.loop.call_soon(self.resume)
        self.watch()

    def _act_on(self, events: int) -> None:
        """What else epoll may tell of."""
        if events & WRITE:
            if self.leftover:
                self._flush()
            else:  # OpenSSL had to write before it could read
                self.ready(READ)
                self.watch()
        if events & READ:
            self.ready(READ)
        elif events & BROKEN:
            self._broken()

    def _reached_end(self) -> None:
        if not self._relay.over:
            self.at_end = True
            self._relay.reached_end(self)
            self.watch()

    def _broken(self) -> None:
        """The connection was reset; epoll would tell us so without end."""
        if not self._deaf:
            self._relay.dispatcher.deafen(self.fd)
            self._deaf = True
        self._relay.broke(self)


def _bulk(sock: ssl.SSLSocket, buffer: memoryview, count: int) -> tuple[int, bool]:
    """Bytes in the buffer when as many records as are there have followed the first, and whether that was the end.

    Bulk costs fewer turns. OpenSSL tells the end of its stream only once that epoll could know of.
    """
    while count <= BUFFER - RECORD:
        try:
            last = sock.recv_into(buffer[count:])
        except OSError:
            break  # not there yet; or broken, which the next read meets again
        if not last:
            return count, True
        count += last
    return count, False


class Relay:
    """Two connected ends, and the rules by which a session is over.

    `spoke` is the end that spoke last, as long as what it said were whole lines (see `between_responses`). `speaker` is
    the end that spoke last in any case, and `pieces` how many have followed its first.
    """

    __slots__ = ("_closed_by", "_owner", "backend", "client", "dispatcher", "over", "pieces", "speaker", "spoke")

    def __init__(self, dispatcher: Dispatcher, owner: Owner) -> None:
        self.dispatcher = dispatcher
        self.over = False
        self._owner = owner
        self._closed_by = ""
        self.client: End
        self.backend: End
        self.spoke: End | None = None
        self.speaker: End | None = None
        self.pieces = 0

    def start(self, client: End, backend: End, to_client: bytes, to_backend: bytes) -> None:
        """Splice two watched sockets; each side is first given what login had already received for it."""
        self.client, self.backend = client, backend
        client.other, backend.other = backend, client
        self.spoke = backend if _are_lines(to_client) else None
        if to_backend:
            self.spoke = client if _are_lines(to_backend) else None
        self.dispatcher.hand_over(client.fd, client)
        self.dispatcher.hand_over(backend.fd, backend)
        for end, data in ((client, to_client), (backend, to_backend)):
            if data and not self.over:
                end.give(data)
        if not self.over:
            client.watch()
            backend.watch()

    @property
    def received(self) -> int:
        """Bytes that have come from either side so far."""
        return self.client.received + self.backend.received

    def between_responses(self) -> bool:
        """Whether the client would take what it gets next for a response of its own, and waits for none.

        True when the backend was the last to speak, nothing is on its way in either direction as far as this host can
        know, and everything the backend has said since the client's last complete command line came in short pieces
        (1 KiB) that ended in a line feed. Right after a login, what login had left over counts as such pieces. False
        says nothing: what follows a longer piece is not looked at; the next command and its answer make good for it.

        Proven, however the bytes are cut: the client is not within a line that the backend has not finished, and the
        last word was not the client's, so that it neither waits for a first answer nor is half through a line.

        Only likely: that it is not within a literal (RFC 3501 section 4.3, RFC 5804 section 4), which would have to
        stand still behind short pieces, each cut off behind a line feed; that it is not between two lines of one answer
        (legal for a farewell in IMAP; in POP3 nothing is completed by it, as a multi-line reply ends in a dot); that
        the stream is not compressed (RFC 4978): a flush of zlib ends in 00 00 FF FF, and with others both sides' last
        pieces would have to end in a line feed by accident. Therefore the quiet that `end_quietly` asks for. And the
        end of the stream follows in any case: a client drops what it has of a response, unless what is missing of a
        literal is shorter than the farewell.
        """
        client, backend = self.client, self.backend
        return (
            self.spoke is backend
            and not (client.leftover or backend.leftover or client.at_end or backend.at_end)
            and not _stirring(client.fd, backend.fd)
        )

    def end_quietly(self, reason: str, farewell: bytes, quiet: float, deadline: float) -> None:
        """End between two responses with `farewell` to the client, or else without a word at loop time `deadline`.

        Nothing may have moved for `quiet` seconds before; meanwhile the session goes on. With a deadline that has
        passed and no quiet the end is at once. Costs no timer; more than one such call does no harm.
        """
        if self.over:
            return
        ending = Farewell(self, self.dispatcher, reason, farewell, quiet, deadline)
        if deadline <= self.dispatcher.now():
            ending.expire()

    def end(self, closed_by: str, farewell: bytes = b"") -> None:
        """Close both sides now; a client that may still listen gets its close_notify. A second call does nothing.

        `farewell` is what the client is told before: for `between_responses` only.
        """
        if farewell and not self.over:
            self.client.give(farewell)
        if self.over:
            return
        self.over = True
        self.spoke = self.speaker = None
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


def _are_lines(data: bytes) -> bool:
    """Whether a piece is short, whole lines, and announces no literal; nothing at all is, too."""
    return not data or (len(data) <= _SHORT and data.endswith(b"\n") and b"}" not in data)


def _stirring(*descriptors: int) -> bool:
    """Whether any of these has something to read, or to say of its end."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
