"""The keeper's side of the lines: what workers say becomes what the table remembers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ldapmap.memory.guarded import dumpable
from ldapmap.memory.line import BATCH, MESSAGE_LIMIT, VERIFY_SECONDS, Kind, Message, read_message, reply
from ldapmap.memory.table import RememberedTable
from ldapmap.meters import Remembered

MOST_FORGOTTEN = 10_000
"""Users of whom the keeper knows when they were forgotten; it distrusts all that is older than the first of them."""


class MemoryKeeper:
    """The other ends of all lines, in the process that uses the table. Started and closed in one event loop."""

    def __init__(
        self,
        table: RememberedTable,
        socks: Sequence[socket.socket],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._socks = tuple(socks)
        self._clock = clock
        self._forgotten: dict[bytes, float] = {}
        self._horizon = clock()
        self._buffer = memoryview(bytearray(MESSAGE_LIMIT + 1))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders: dict[int, Callable[[Message], Remembered | None]] = {
            Kind.REMEMBER: self._remember,
            Kind.DISOWN: self._disown,
            Kind.FORGET: self._forget,
            Kind.FORGET_ALL: self._forget_all,
            Kind.VERIFY: self._verify,
        }

    def start(self) -> None:
        """Listen in the running event loop. This process is not dumpable from now on."""
        dumpable(False)
        self._loop = asyncio.get_running_loop()
        for sock in self._socks:
            self._loop.add_reader(sock, self._hear, sock)

    def close(self) -> None:
        """Stop listening; the sockets stay open."""
        if self._loop is not None:
            for sock in self._socks:
                self._loop.remove_reader(sock)

    def forget(self, user: str) -> None:
        """The directory says that the entry of this user has changed or is gone."""
        self._void(user.encode(), self._clock())

    def forget_all(self) -> None:
        """It is not known what has changed."""
        self._table.forget_all()
        self._horizon = self._clock()

    def _hear(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                size = sock.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError:
                size = 0
            if not size:
                asyncio.get_running_loop().remove_reader(sock)
                return
            self._handle(sock, self._buffer[:size])

    def _handle(self, sock: socket.socket, data: memoryview) -> None:
        """Do what a worker says, if it can be understood, and wipe it: there is a password in it."""
        message = read_message(data)
        order = self._orders.get(message.kind) if message is not None else None
        if message is not None and order is not None:
            verdict = order(message)
            if verdict is not None:
                with suppress(OSError):  # a worker that does not read its answers does without them
                    sock.send(reply(message.epoch, message.number, verdict))
        data[:] = bytes(len(data))

    def _remember(self, message: Message) -> None:
        """Unless the user was forgotten since; then an older digest must go, too, for it is not of this password."""
        user = bytes(message.user)
        since = max(self._horizon, self._forgotten.get(user, self._horizon))
        if since < message.asked <= self._clock():
            self._table.remember(user, message.dn, message.password, message.asked)
        else:
            self._table.forget(user)

    def _disown(self, message: Message) -> None:
        self._table.disown(message.user, message.dn, message.password)

    def _forget(self, message: Message) -> None:
        now = self._clock()
        self._void(bytes(message.user), message.asked if message.asked <= now else now)

    def _forget_all(self, message: Message) -> None:
        self.forget_all()

    def _verify(self, message: Message) -> Remembered | None:
        """None when nobody waits for it any more: then it is no try either."""
        now = self._clock()
        if not 0 <= now - message.asked <= VERIFY_SECONDS:
            return None
        return self._table.check(message.user, message.dn, message.password, now)

    def _void(self, user: bytes, when: float) -> None:
        self._table.forget(user)
        self._forgotten.pop(user, None)
        self._forgotten[user] = when
        if len(self._forgotten) > MOST_FORGOTTEN:
            first = next(iter(self._forgotten))
            self._horizon = max(self._horizon, self._forgotten.pop(first))
