"""The end of a connection to which everything has been said: the peer gets it all, and then our end of stream.

Closing at once would answer whatever the peer is still sending with a reset, and a reset can overtake our last words.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from proxy.dispatcher import READ, Dispatcher


class Linger:
    """Reads past TLS and throws away, until the peer closes or the deadline has passed."""

    __slots__ = ("_dispatcher", "_fd", "_sock", "deadline")

    def __init__(self, dispatcher: Dispatcher, fd: int, sock: socket.socket) -> None:
        self._dispatcher = dispatcher
        self._fd = fd
        self._sock = sock
        self.deadline = dispatcher.now() + dispatcher.linger
        dispatcher.hand_over(fd, self)
        dispatcher.modify(fd, READ)
        dispatcher.timed[self] = None

    def ready(self, events: int) -> None:
        try:
            # Not the SSLSocket's own method: what comes is not deciphered any more.
            if socket.socket.recv_into(self._sock, self._dispatcher.buffer):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.abort()

    def expire(self) -> None:
        """Close, however the peer feels about it."""
        self.abort()

    def abort(self) -> None:
        self._dispatcher.timed.pop(self, None)
        self._dispatcher.close(self._fd, self._sock)


def part(dispatcher: Dispatcher, fd: int, sock: socket.socket, *, heard: bool) -> None:
    """Say goodbye (close_notify in TLS, then TCP's end of stream) and close when the peer has closed too.

    `heard` says that the peer has closed its direction already, or is gone.
    """
    with suppress(OSError, ValueError):
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()
    try:
        socket.socket.shutdown(sock, socket.SHUT_WR)
        if not heard:
            Linger(dispatcher, fd, sock)
            return
    except OSError:
        pass  # not connected any more, or not watched any more
    dispatcher.close(fd, sock)
