"""Mail and scripts of the users of a simulated backend: in memory, one INBOX each, with a welcome message in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

MAX_MAILBOXES = 10_000
"""Mailboxes a backend keeps when it accepts any user; the one that was opened longest ago is forgotten first."""

MAX_SCRIPTS = 16
"""Sieve scripts a user may keep."""

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
    """One message; `data` has CR LF line ends, `flags` are IMAP's, with their backslash."""

    uid: int
    data: bytes
    received: datetime
    flags: set[str] = field(default_factory=set)

    @property
    def header(self) -> bytes:
        """The header with the empty line that ends it."""
        return self.data[: self._text_start]

    @property
    def text(self) -> bytes:
        """What follows the header."""
        return self.data[self._text_start :]

    @property
    def _text_start(self) -> int:
        end = self.data.find(b"\r\n\r\n")
        return len(self.data) if end < 0 else end + 4


@dataclass(slots=True)
class Mailbox:
    """What one user has on one backend."""

    messages: list[Message] = field(default_factory=list)
    scripts: dict[str, bytes] = field(default_factory=dict)
    active_script: str = ""
    uid_validity: int = 1

    @property
    def uid_next(self) -> int:
        """The UID of the message that comes next."""
        return max((message.uid for message in self.messages), default=0) + 1

    def count(self, flag: str) -> int:
        """How many messages have a flag."""
        return sum(flag in message.flags for message in self.messages)

    def remove(self, uids: Collection[int]) -> None:
        """Forget messages for good."""
        self.messages[:] = [message for message in self.messages if message.uid not in uids]


class Mailboxes:
    """The users of one backend. With `users` only those exist; without, whoever logs in does."""

    def __init__(self, backend: str, users: Collection[str] | None = None, most: int = MAX_MAILBOXES) -> None:
        self._backend = backend
        self._users = None if users is None else frozenset(users)
        self._most = most
        self._open: OrderedDict[str, Mailbox] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, user: str) -> Mailbox | None:
        """The user's mailbox, made when it is opened first; None for somebody who does not exist."""
        if not user or (self._users is not None and user not in self._users):
            return None
        mailbox = self._open.pop(user, None) or Mailbox([_welcome(self._backend, user)])
        self._open[user] = mailbox
        if len(self._open) > self._most:
            self._open.popitem(last=False)
        return mailbox


def _welcome(backend: str, user: str) -> Message:
    now = datetime.now(UTC)
    printable = "".join(letter for letter in user if letter.isprintable())
    text = _WELCOME.format(backend=backend, user=printable, date=format_datetime(now))
    return Message(1, text.replace("\n", "\r\n").encode(), now)
