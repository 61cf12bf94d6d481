"""Mail and scripts of the users of a simulated backend: in memory, one INBOX each.

A message of the load test is kept as its recipe, so that half a million mailboxes cost little more than their names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TypeAlias

from loadtest.content import PUSHED, Recipe, recipe_of

MAX_MAILBOXES = 10_000
"""Mailboxes a backend keeps when it accepts any user; the one that was opened longest ago is forgotten first."""

MAX_SCRIPTS = 16
"""Sieve scripts a user may keep."""

MAX_MESSAGES = 1000
"""Messages in a mailbox; none are delivered to one that is full."""

MAX_KEPT = 4 * 1024 * 1024
"""Bytes a user's messages may occupy here, those not counted that are kept as recipes."""

PUSH = 1500
"""Bytes of a message that arrives without a client's doing."""

Source: TypeAlias = "bytes | Recipe"
"""A message, or what makes it."""

Fill: TypeAlias = Callable[[str], Sequence[Source]]
"""What a user's mailbox holds at the beginning."""

_WELCOME = """\
Date: {date}
From: Postmaster <postmaster@{backend}>
To: {user} <{user}>
Subject: Welcome to {backend}
Message-ID: <welcome.{backend}@vestibule.invalid>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Hello {user},

this mailbox lives on {backend}. The proxy recognised you, looked up
where your mail is, and led you here.
"""


@dataclass(slots=True)
class Message:
    """One message; its data has CR LF line ends, `flags` are IMAP's, with their backslash."""

    uid: int
    source: Source
    received: datetime
    flags: AbstractSet[str] = frozenset()

    @property
    def data(self) -> bytes:
        """The whole of it."""
        return self.source if isinstance(self.source, bytes) else self.source.compose()

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.size

    @property
    def header(self) -> bytes:
        """The header with the empty line that ends it."""
        return self._parts()[0]

    @property
    def text(self) -> bytes:
        """What follows the header."""
        return self._parts()[1]

    def _parts(self) -> tuple[bytes, bytes]:
        header, end, text = self.data.partition(b"\r\n\r\n")
        return header + end, text


@dataclass(slots=True, eq=False)
class Mailbox:
    """What one user has on one backend, or on all that replicate each other.

    `revision` grows with every message that comes or goes; `watchers` are called then.
    """

    messages: list[Message] = field(default_factory=list)
    scripts: dict[str, bytes] = field(default_factory=dict)
    active_script: str = ""
    uid_validity: int = 1
    uid_next: int = 1
    revision: int = 0
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def count(self, flag: str) -> int:
        """How many messages have a flag."""
        return sum(flag in message.flags for message in self.messages)

    def deliver(
        self, source: Source, flags: AbstractSet[str] = frozenset(), received: datetime | None = None
    ) -> Message | None:
        """Add a message, or return None when the mailbox is full. UIDs are never used again (RFC 3501 2.3.1.1)."""
        if isinstance(source, bytes):
            source = recipe_of(source) or source
        if len(self.messages) >= MAX_MESSAGES or (isinstance(source, bytes) and self._kept() + len(source) > MAX_KEPT):
            return None
        message = Message(self.uid_next, source, received or datetime.now(UTC), flags)
        self.uid_next += 1
        self.messages.append(message)
        self._changed()
        return message

    def push(self, user: str, sent: float) -> Message | None:
        """A message arrives; `sent` is the monotonic time. None when the mailbox is full."""
        return self.deliver(Recipe(user, PUSHED + self.uid_next, PUSH, sent))

    def remove(self, uids: Collection[int]) -> None:
        """Forget messages for good."""
        before = len(self.messages)
        self.messages[:] = [message for message in self.messages if message.uid not in uids]
        if len(self.messages) < before:
            self._changed()

    def _kept(self) -> int:
        return sum(message.size for message in self.messages if isinstance(message.source, bytes))

    def _changed(self) -> None:
        self.revision += 1
        for watcher in tuple(self.watchers):
            watcher()


class Mailboxes:
    """The users of one backend, or of several that replicate each other; `fill` says what they have at first.

    With `users` only those exist; without, whoever logs in does.
    """

    def __init__(self, fill: Fill, users: Collection[str] | None = None, most: int = MAX_MAILBOXES) -> None:
        self._fill = fill
        self._users = None if users is None else frozenset(users)
        self._most = most
        self._open: OrderedDict[str, Mailbox] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, user: str) -> Mailbox | None:
        """The user's mailbox, made when it is opened first; None for somebody who does not exist."""
        if not user or (self._users is not None and user not in self._users):
            return None
        mailbox = self._open.get(user)
        if mailbox is None:
            self._open[user] = mailbox = self._made(user)
            if len(self._open) > self._most:
                self._open.popitem(last=False)
        else:
            self._open.move_to_end(user)
        return mailbox

    def _made(self, user: str) -> Mailbox:
        now = datetime.now(UTC)
        messages = [Message(uid, source, now) for uid, source in enumerate(self._fill(user), 1)]
        return Mailbox(messages, uid_next=len(messages) + 1)


def welcome(backend: str) -> Fill:
    """One message that greets a user and tells the name of the backend."""

    def fill(user: str) -> list[bytes]:
        printable = "".join(letter for letter in user if letter.isprintable())
        text = _WELCOME.format(backend=backend, user=printable, date=format_datetime(datetime.now(UTC)))
        return [text.replace("\n", "\r\n").encode()]

    return fill
