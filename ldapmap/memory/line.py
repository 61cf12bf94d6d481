"""The line between a worker and the remembered passwords, which live in the mirror's process.

One pair of Unix sockets for each worker, made before the first fork and held by the supervisor, so that either side may
die and be replaced: what was sent meanwhile waits in the socket. Datagrams with their bounds kept (SOCK_SEQPACKET):

    worker -> keeper   kind 1, epoch 8, number 8, asked 8 (seconds), length of user 2, of dn 2; user, dn, password
    keeper -> worker   epoch 8, number 8, verdict 1 (index into VERDICTS)

A worker never waits for the line but in `verify`, and there only for a bounded time. When the line is full, a password
that was just accepted is not remembered; but then the digest of an older one must not stay either, so the worker owes
the user's `forget` and pays as soon as there is room; a worker that owes too many owes `forget_all`.

The order of events on different lines is not theirs in time. So each says when the server was asked, and who was
forgotten later than that is not remembered; a keeper that has just been started distrusts everything older than itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from struct import Struct
from typing import NamedTuple

from ldapmap.entries import Entry
from ldapmap.memory.table import ACCEPTED, REFUSED, UNKNOWN
from ldapmap.meters import Remembered

VERDICTS: tuple[Remembered, ...] = (ACCEPTED, REFUSED, UNKNOWN)


class Kind(IntEnum):
    """What a message says; the questions and orders of `RememberedTable`."""

    REMEMBER = 1
    DISOWN = 2
    FORGET = 3
    FORGET_ALL = 4
    VERIFY = 5


class Message(NamedTuple):
    """What a worker said, as views of the memory it was received in."""

    kind: int
    epoch: bytes
    number: int
    asked: float
    user: memoryview
    dn: memoryview
    password: memoryview


VERIFY_SECONDS = 1.0
"""Longest wait for the keeper's word; it takes well under a millisecond, so later it is as good as dead."""

MESSAGE_LIMIT = 8192
"""Longest message: what belongs to longer names and passwords is not remembered."""

MOST_OWED = 10_000
"""Users a worker may owe a `forget`: several seconds of logins while the keeper is away."""

MOST_WAITING = 10_000
"""Logins of a worker that may wait for the keeper's word; to more it is unknown."""

BATCH = 64
"""Messages read from one line before others have their turn."""

_HEAD = Struct("<B8sQdHH")
_REPLY = Struct("<8sQB")


def memory_pair() -> tuple[socket.socket, socket.socket]:
    """A line's two ends, the worker's and the keeper's. Made before the fork; both never block."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
    return ends


def read_message(data: memoryview) -> Message | None:
    """None for what is no message."""
    if not _HEAD.size <= len(data) <= MESSAGE_LIMIT:
        return None
    kind, epoch, number, asked, user, dn = _HEAD.unpack_from(data)
    dn_at = _HEAD.size + user
    password_at = dn_at + dn
    if password_at > len(data):
        return None
    return Message(kind, epoch, number, asked, data[_HEAD.size : dn_at], data[dn_at:password_at], data[password_at:])


def reply(epoch: bytes, number: int, verdict: Remembered) -> bytes:
    """The keeper's answer to a VERIFY."""
    return _REPLY.pack(epoch, number, VERDICTS.index(verdict))


class MemoryLine:
    """A worker's end. Started, used and closed in one event loop; the socket stays open, for it is not ours alone."""

    def __init__(
        self, sock: socket.socket, *, clock: Callable[[], float] = time.monotonic, patience: float = VERIFY_SECONDS
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._patience = patience
        self._epoch = os.urandom(8)
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Remembered]] = {}
        self._owed: dict[str, None] = {}
        self._owes_all = False
        self._awaits_room = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Listen in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._hear)

    def close(self) -> None:
        """Stop listening. Whoever waits hears "unknown"; nothing more is said."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._sock)
            loop.remove_writer(self._sock)
        for future in self._waiting.values():
            if not future.done():
                future.set_result(UNKNOWN)

    def remember(self, entry: Entry, password: bytes, asked: float) -> None:
        """A server, asked at that time, has accepted this password."""
        self._tell(Kind.REMEMBER, entry, password, asked)

    def disown(self, entry: Entry, password: bytes) -> None:
        """A server has refused this password: forget it if it is the remembered one."""
        self._tell(Kind.DISOWN, entry, password, self._clock())

    def forget(self, user: str) -> None:
        """Whatever is remembered of this user is void."""
        if self._message(Kind.FORGET, user):  # else the name is too long to have ever been remembered
            self._owed[user] = None
            if len(self._owed) > MOST_OWED:
                self._owed.clear()
                self._owes_all = True
            self._pay()

    async def verify(self, entry: Entry, password: bytes) -> Remembered:
        """What memory says to this password; "unknown" when the keeper does not answer in time."""
        number = next(self._numbers)
        message = self._message(Kind.VERIFY, entry.user, entry.dn, password, number=number)
        if self._loop is None or len(self._waiting) >= MOST_WAITING or not self._sent_in_turn(message):
            return UNKNOWN
        future: asyncio.Future[Remembered] = self._loop.create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(self._patience):
                return await future
        except TimeoutError:
            return UNKNOWN
        finally:
            del self._waiting[number]

    def _tell(self, kind: int, entry: Entry, password: bytes, asked: float) -> None:
        if not self._sent_in_turn(self._message(kind, entry.user, entry.dn, password, asked)):
            self.forget(entry.user)

    def _message(
        self,
        kind: int,
        user: str = "",
        dn: str = "",
        password: bytes = b"",
        asked: float | None = None,
        number: int = 0,
    ) -> bytes:
        """Empty when it would be too long."""
        name, place = user.encode(), dn.encode()
        if _HEAD.size + len(name) + len(place) + len(password) > MESSAGE_LIMIT:
            return b""
        when = self._clock() if asked is None else asked
        head = _HEAD.pack(kind, self._epoch, number, when, len(name), len(place))
        return b"".join((head, name, place, password))

    def _sent_in_turn(self, message: bytes) -> bool:
        """Whether it could be sent, after what is owed."""
        return bool(message) and self._pay() and self._sent(message)

    def _sent(self, message: bytes) -> bool:
        try:
            self._sock.send(message)
        except OSError:  # full, or the other end is gone, which `_hear` finds out
            return False
        return True

    def _pay(self) -> bool:
        """Send what is owed, later what there is no room for now; whether nothing is owed any more."""
        while self._owes_all or self._owed:
            user = "" if self._owes_all else next(iter(self._owed))
            if not self._sent(self._message(Kind.FORGET_ALL if self._owes_all else Kind.FORGET, user)):
                self._await_room(True)
                return False
            self._owed.pop(user, None)
            self._owes_all = False
        self._await_room(False)
        return True

    def _await_room(self, awaited: bool) -> None:
        if self._loop is None or awaited == self._awaits_room:
            return
        self._awaits_room = awaited
        if awaited:
            self._loop.add_writer(self._sock, self._pay)
        else:
            self._loop.remove_writer(self._sock)

    def _hear(self) -> None:
        for _ in range(BATCH):
            try:
                reply = self._sock.recv(_REPLY.size + 1)
            except BlockingIOError:
                return
            except OSError:
                reply = b""
            if not reply:
                self.close()
                return
            self._take(reply)

    def _take(self, reply: bytes) -> None:
        """Wake whoever asked; nobody does when the answer is late, or for the worker that was here before us."""
        epoch, number, verdict = _REPLY.unpack(reply)
        future = self._waiting.get(number)
        if epoch == self._epoch and future is not None and not future.done():
            future.set_result(VERDICTS[verdict])
