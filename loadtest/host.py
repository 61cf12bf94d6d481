"""What the three simulated servers of one backend share: its name, its mailboxes, and who has logged in."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from loadtest.mailbox import Mailbox, Mailboxes
from proxy.protocols.credentials import Attempt
from proxy.protocols.wire import Wire

MAX_LOGINS = 1000
"""Logins a backend remembers."""

LINE = 8192
"""Longest command line in bytes."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded; `client` is the address the proxy told of by ID or XCLIENT, if it did."""

    protocol: str
    user: str
    client: str = ""


class Host:
    """One backend as its servers see it.

    Passwords are not looked at: the proxy has verified them, or speaks for the user.
    """

    def __init__(self, name: str, users: Collection[str] | None = None, *, starttls: bool = False) -> None:
        self.name = name
        self.starttls = starttls
        self.mailboxes = Mailboxes(name, users)
        self.logins: deque[Login] = deque(maxlen=MAX_LOGINS)

    def admit(self, protocol: str, user: str, client: str = "") -> Mailbox | None:
        """The mailbox of somebody who logs in, or None for a stranger."""
        mailbox = self.mailboxes.open(user)
        if mailbox is not None:
            self.logins.append(Login(protocol, user, client))
        return mailbox

    def offers_tls(self, wire: Wire) -> bool:
        """Whether STARTTLS is possible on this connection now."""
        return self.starttls and not wire.secure


def acting_for(attempt: Attempt) -> str:
    """Whose mailbox a login is about: the authorisation identity's, if a master user named one."""
    return (attempt.authzid or attempt.user).decode(errors="replace")
