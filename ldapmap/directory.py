"""What the proxy asks a directory, whatever its kind."""

from __future__ import annotations

from typing import Protocol

from ldapmap.client.filters import Present, escape, parse_filter
from ldapmap.domains import Domains
from ldapmap.entries import Entry
from ldapmap.errors import InvalidName
from ldapmap.names import canonical, steps
from ldapmap.settings import DirectorySettings
from ldapmap.status import DirectoryStatus


class Directory(Protocol):
    """Who the users are, and where their mail lives. Whatever `find` and `verify` raise is a DirectoryError."""

    @property
    def healthy(self) -> bool:
        """The directory answered the last time it was asked."""
        ...

    async def start(self) -> None:
        """Get ready in the running event loop. A directory that is away is no failure: it will be tried again."""
        ...

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        """The one user with this name; `fresh`: as a server says now, if one answers.

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

    def status(self) -> DirectoryStatus:
        """The servers as they are now."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class ServerDirectory(Directory, Protocol):
    """A directory on servers, for the layers above it that have made the canonical name already."""

    async def look_up(self, name: str) -> Entry:
        """The one user with this canonical name, as a server says now. Raises what `find` raises."""
        ...


def describe_name(login_name: str, settings: DirectorySettings, domains: Domains) -> list[tuple[str, str]]:
    """The name after each rule and what would be searched for; ends with "refused" when a rule refuses the name."""
    described = [("typed name", login_name)]
    try:
        described += steps(login_name, settings.names)
    except InvalidName as refusal:
        return [*described, ("refused", refusal.reason)]
    place, key = domains.place(canonical(login_name, settings.names))
    judged = "the backend alone (passthrough)" if place.passthrough else "a bind as the entry"
    return [
        *described,
        ("search key", key),
        ("filter", filter_text(key, settings)),
        ("base", place.base),
        ("scope", settings.scope),
        ("password judged by", judged),
    ]


def filter_text(key: str, settings: DirectorySettings) -> str:
    """The filter of the search as RFC 4515 writes it."""
    names = (settings.attributes.user, *settings.attributes.aliases)
    condition = "".join(f"({name}={escape(key)})" for name in names)
    if len(names) > 1:
        condition = f"(|{condition})"
    every = parse_filter(settings.filter) == Present(b"objectClass")
    return condition if every else f"(&{settings.filter}{condition})"
