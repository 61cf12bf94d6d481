"""A level-triggered epoll of our own, nested in the event loop: a descriptor is registered once, for life.

asyncio's and uvloop's transports keep 25 to 400 KiB for each TLS session; what is dispatched from here keeps nothing
but its own slotted object. The loop goes on to run timers, the directory's connections and the login tasks.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from typing import Protocol

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
#: Events that cannot be masked: whoever gets one acts on it, or the descriptor spins.
BROKEN = select.EPOLLHUP | select.EPOLLERR

#: Bytes of a TLS record: a read of this size leaves no plaintext behind in OpenSSL, where epoll could not see it.
RECORD = 16384
BUFFER = 4 * RECORD

_EVENTS_PER_TURN = 512
_logger = logging.getLogger("vestibule.dispatcher")


class Handler(Protocol):
    """What a descriptor belongs to."""

    def ready(self, events: int) -> None:
        """Act on `READ`, `WRITE` and `BROKEN`; one bounded read a turn keeps the others' turn short."""

    def abort(self) -> None:
        """Give the descriptor up: `ready` has raised what nobody foresaw."""


class Timed(Protocol):
    """What must not last forever: `Dispatcher.sweep` asks for it."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


class Dispatcher:
    """Calls each descriptor's handler when epoll says that it is ready, and each `timed` object when it has expired.

    Deadlines cost no timer of their own: one sweep looks at all of them, and a session that is logged in has none.
    `linger` is how long, in seconds, a peer may take to close after us. `buffer` is what every read of a turn goes
    through: a buffer for each read would leave holes of 16 KiB in the heap, and one for each session would be worse.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, linger: float = 5.0) -> None:
        self.loop = loop
        self.now = loop.time
        self.linger = linger
        self.timed: dict[Timed, None] = {}
        self.buffer = memoryview(bytearray(BUFFER))
        self._epoll = select.epoll()
        self._handlers: list[Handler | None] = [None] * 1024
        self._closing: list[socket.socket] = []
        self._in_turn = False
        loop.add_reader(self._epoll.fileno(), self._turn)

    def register(self, fd: int, handler: Handler, events: int) -> None:
        """Watch a descriptor that is not watched yet."""
        if fd >= len(self._handlers):
            self._handlers.extend([None] * (fd + 1024 - len(self._handlers)))
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def hand_over(self, fd: int, handler: Handler) -> None:
        """Let another handler have a watched descriptor; the registration stays as it is."""
        self._handlers[fd] = handler

    def modify(self, fd: int, events: int) -> None:
        """Watch for other events; `BROKEN` is always among them."""
        self._epoll.modify(fd, events)

    def deafen(self, fd: int) -> None:
        """Watch no longer, not even for `BROKEN`; the descriptor stays open."""
        self._epoll.unregister(fd)

    def close(self, fd: int, sock: socket.socket) -> None:
        """Close a socket, watched or not.

        Within a turn that is put off to its end: the number could be given to a new socket at once, and events for the
        old one may still be in the list.
        """
        self._handlers[fd] = None
        if self._in_turn:
            self._closing.append(sock)
        else:
            sock.close()

    def sweep(self) -> None:
        """Expire what is due; called about twice a second."""
        now = self.now()
        for timed in [one for one in self.timed if one.deadline <= now]:
            timed.expire()

    def stop(self) -> None:
        """Watch nothing any more."""
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _turn(self) -> None:
        self._in_turn = True
        handlers = self._handlers
        for fd, events in self._epoll.poll(0, _EVENTS_PER_TURN):
            handler = handlers[fd]
            if handler is not None:
                try:
                    handler.ready(events)
                except Exception:
                    _logger.exception("a session ended by an error of ours")
                    handler.abort()
        self._in_turn = False
        if self._closing:
            for sock in self._closing:
                sock.close()
            self._closing.clear()
