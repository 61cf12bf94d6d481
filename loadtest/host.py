"""What the three simulated servers of one backend share: its name, its mailboxes, and who is there."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from loadtest.mailbox import Mailbox, Mailboxes, welcome
from proxy.protocols.credentials import Attempt
from proxy.protocols.wire import Wire

MAX_LOGINS = 1000
"""Logins a backend remembers."""

LINE = 8192
"""Longest command line in bytes."""

Watch: TypeAlias = Callable[[str, str, bool], None]
"""Is told the protocol and the user of every session when it begins (True) and when it ends (False)."""

Listener: TypeAlias = Callable[[], None]
"""An idling session: is called when its mailbox has changed."""


@dataclass(frozen=True, slots=True)
class Login:
    """A login that succeeded; `client` is the address the proxy told of by ID or XCLIENT, if it did."""

    protocol: str
    user: str
    client: str = ""


class Host:
    """One backend as its servers see it.

    Passwords are not looked at: the proxy has verified them, or speaks for the user. Without `mailboxes` everybody of
    `users` has a welcome message. `idling` are the sessions that wait for mail, with their users and mailboxes.
    """

    def __init__(
        self,
        name: str,
        users: Collection[str] | None = None,
        *,
        starttls: bool = False,
        mailboxes: Mailboxes | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self.starttls = starttls
        self.mailboxes = Mailboxes(welcome(name), users) if mailboxes is None else mailboxes
        self.logins: deque[Login] = deque(maxlen=MAX_LOGINS)
        self.idling: OrderedDict[Listener, tuple[str, Mailbox]] = OrderedDict()
        self._watch = watch

    def admit(self, protocol: str, user: str, client: str = "") -> Mailbox | None:
        """The mailbox of somebody who logs in, or None for a stranger; whoever is admitted has to `leave`."""
        mailbox = self.mailboxes.open(user)
        if mailbox is not None:
            self.logins.append(Login(protocol, user, client))
            if self._watch is not None:
                self._watch(protocol, user, True)
        return mailbox

    def leave(self, protocol: str, user: str) -> None:
        """The session of somebody who was admitted is over; `user` is empty for those who never were."""
        if user and self._watch is not None:
            self._watch(protocol, user, False)

    def listen(self, listener: Listener, user: str, mailbox: Mailbox) -> None:
        """A session begins to wait for mail."""
        self.idling[listener] = (user, mailbox)
        mailbox.watchers.append(listener)

    def stop_listening(self, listener: Listener) -> None:
        """It waits no longer."""
        _, mailbox = self.idling.pop(listener)
        mailbox.watchers.remove(listener)

    def offers_tls(self, wire: Wire) -> bool:
        """Whether STARTTLS is possible on this connection now."""
        return self.starttls and not wire.secure


def acting_for(attempt: Attempt) -> str:
    """Whose mailbox a login is about: the authorisation identity's, if a master user named one."""
    return (attempt.authzid or attempt.user).decode(errors="replace")
