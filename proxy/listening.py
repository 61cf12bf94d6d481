"""Listening sockets: one for each listener and worker, made and kept by the supervisor, used by the workers.

With SO_REUSEPORT the kernel gives each worker its own queue. The supervisor keeps the sockets open, so what waits in
the queue of a worker that dies is taken by the one that replaces it, and no connection is refused.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable

from proxy.dispatcher import READ, Dispatcher
from proxy.settings import ListenerSettings
from proxy.socketoptions import spread, tune

#: Connections taken in one turn; more wait for the next, so that running sessions get theirs. Not few: in a storm a
#: turn is long, and whom the kernel's queue has no room for comes again after 1, 3, 7 and 15 s.
_ACCEPTS_PER_TURN = 256
#: Seconds without accepting when descriptors or memory have run out.
_PAUSE = 0.5
#: Seconds until we look again whether there is room for another login.
_GLANCE = 0.02
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_logger = logging.getLogger("vestibule.listening")

Admit = Callable[[socket.socket, tuple[str, int]], None]


def bind(settings: ListenerSettings) -> socket.socket:
    """A listening socket for one worker; raises OSError. An IPv6 wildcard address takes IPv4 too."""
    host, port = settings.endpoint
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        tune(sock)
        sock.bind((host, port))
        sock.listen(settings.backlog)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


class Acceptor:
    """Takes connections from one listening socket, while `has_room` says so; the others wait in the kernel's queue."""

    def __init__(
        self, dispatcher: Dispatcher, sock: socket.socket, admit: Admit, has_room: Callable[[], bool] = lambda: True
    ) -> None:
        self._dispatcher = dispatcher
        self._sock = sock
        self._admit = admit
        self._has_room = has_room
        self._open = True
        dispatcher.register(sock.fileno(), self, READ)

    def ready(self, events: int) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if not self._has_room():
                self._look_away(_GLANCE)
                return
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._wait_or_go_on(error)
                return
            sock.setblocking(False)
            spread(sock)
            self._admit(sock, (peer[0], peer[1]))

    def abort(self) -> None:
        """An error of ours with one connection is no reason to take no other."""

    def stop(self) -> None:
        """Take no more connections; the socket stays open, for whoever else has it."""
        if self._open:
            self._open = False
            self._dispatcher.deafen(self._sock.fileno())

    def _wait_or_go_on(self, error: OSError) -> None:
        """Out of descriptors the queue stays readable: look away for a moment. A client that has gone is no matter."""
        if error.errno not in _EXHAUSTED:
            return
        _logger.error("no connection can be accepted: %s", error.strerror)
        self._look_away(_PAUSE)

    def _look_away(self, seconds: float) -> None:
        self._dispatcher.modify(self._sock.fileno(), 0)
        self._dispatcher.loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._open:
            self._dispatcher.modify(self._sock.fileno(), READ)
