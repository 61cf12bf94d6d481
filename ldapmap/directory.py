"""What the proxy asks a directory, whatever its kind."""

from __future__ import annotations

from typing import Protocol

from ldapmap.entries import Entry
from ldapmap.errors import InvalidName
from ldapmap.filters import Present, escape, parse_filter
from ldapmap.names import canonical, steps
from ldapmap.settings import DirectorySettings


class Directory(Protocol):
    """Who the users are, and where their mail lives. Whatever `find` and `verify` raise is a DirectoryError."""

    @property
    def healthy(self) -> bool:
        """The directory answered the last time it was asked."""
        ...

    async def start(self) -> None:
        """Get ready in the running event loop. A directory that is away is no failure: it will be tried again."""
        ...

    async def find(self, login_name: str) -> Entry:
        """The one user with this name.

        Raises InvalidName, UnknownUser, AmbiguousUser, NoRoute, Misconfigured or Unavailable.
        """
        ...

    async def verify(self, entry: Entry, password: bytes) -> None:
        """Return if this is the user's password.

        Raises EmptyPassword, WrongPassword, UnknownUser, AccountLocked, AccountDisabled, PasswordExpired, Misconfigured
        or Unavailable.
        """
        ...

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        """How a typed name would be looked up, step by step, without doing it."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


def describe_name(login_name: str, settings: DirectorySettings) -> list[tuple[str, str]]:
    """The name after each rule and what would be searched for; ends with "refused" when a rule refuses the name."""
    described = [("typed name", login_name)]
    try:
        described += steps(login_name, settings.names)
    except InvalidName as refusal:
        return [*described, ("refused", refusal.reason)]
    key = canonical(login_name, settings.names)
    return [
        *described,
        ("search key", key),
        ("filter", filter_text(key, settings)),
        ("base", settings.base),
        ("scope", settings.scope),
    ]


def filter_text(key: str, settings: DirectorySettings) -> str:
    """The filter of the search as RFC 4515 writes it."""
    condition = f"({settings.attributes.user}={escape(key)})"
    every = parse_filter(settings.filter) == Present(b"objectClass")
    return condition if every else f"(&{settings.filter}{condition})"
