"""What a directory may answer instead of an entry or a verified password.

DirectoryError
├── UnknownUser        no entry, or the server does not know the DN          counts
├── WrongPassword      the server refused the password                       counts
├── EmptyPassword      refused here; nothing was sent                        counts
├── InvalidName        the typed name breaks a rule; nothing was sent        counts
├── AccountLocked      locked, or said to be: the client hears "wrong password"
├── AccountDisabled    disabled, expired, or not allowed at this time or place
├── PasswordExpired    right, but must be changed first
├── AmbiguousUser      more than one entry; an operator has to look
└── Unavailable        the directory could not tell: a later attempt may succeed
    ├── ServerFault    the server rather than the one question: skip it for a while
    └── Misconfigured  will not heal by itself; an operator has to look
        └── NoRoute    the entry does not say where the mail lives
"""

from __future__ import annotations

from typing import ClassVar


class DirectoryError(Exception):
    """Why a login cannot go on.

    `reason` is for the log: it never holds a secret and is never shown to the client. `counts` says whether it is a
    failed attempt of whoever typed the credentials (penalties, limits); trouble of ours never is.
    """

    counts: ClassVar[bool] = False

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownUser(DirectoryError):
    """No entry has this name."""

    counts = True


class WrongPassword(DirectoryError):
    """The directory refused the password."""

    counts = True


class EmptyPassword(DirectoryError):
    """A simple bind without a password would succeed as nobody (RFC 4513 section 5.1.2), so it is never sent."""

    counts = True


class InvalidName(DirectoryError):
    """The typed name breaks a rule of `names`."""

    counts = True


class AccountLocked(DirectoryError):
    """The directory says locked. Some say so for a merely wrong password, so the client hears the same as for that."""


class AccountDisabled(DirectoryError):
    """Disabled, expired, or not allowed to log in now or from here."""


class PasswordExpired(DirectoryError):
    """The password is right or was, and has to be changed before it is accepted again."""


class AmbiguousUser(DirectoryError):
    """More than one entry has this name: letting in either would be a guess."""


class Unavailable(DirectoryError):
    """Time-out, lost connection, busy, or an answer we cannot judge. Never a wrong password."""


class ServerFault(Unavailable):
    """This server cannot answer anyone now. With `again`, a new connection to the same server is worth one attempt."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


class Misconfigured(Unavailable):
    """The directory or our settings are wrong; an operator has to look."""


class NoRoute(Misconfigured):
    """The entry does not name exactly one shard."""
