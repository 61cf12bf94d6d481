"""The directory as a worker of the proxy asks it: the same classes, the default settings, LDAPS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from ldapmap import Directory, DirectorySettings, Entry
from loadtest.people import PASSWORD, PEOPLE, SERVICE_DN, uid
from loadtest.slapd import Slapd

Login = Callable[[str], Awaitable[None]]
"""One login of a user; it raises what the directory raises."""

_SECRET = PASSWORD.encode()


def settings_for(server: Slapd, **more: Any) -> DirectorySettings:
    """The settings of a worker that uses this server; `more` are those that differ from the defaults."""
    needed: dict[str, Any] = {
        "kind": "ldap",
        "servers": (server.ldaps,),
        "base": PEOPLE,
        "bind_dn": SERVICE_DN,
        "bind_password_file": server.password_file,
        "ca_file": server.ca_file,
    }
    return DirectorySettings(**needed, **more)


@asynccontextmanager
async def opened(directory: Directory) -> AsyncIterator[Directory]:
    """The directory, started."""
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


def whole_login(directory: Directory) -> Login:
    """The user found, then the password verified."""

    async def login(name: str) -> None:
        await directory.verify(await directory.find(name), _SECRET)

    return login


def verification(directory: Directory, entries: Mapping[str, Entry]) -> Login:
    """The password alone, of users who have been found before."""

    async def login(name: str) -> None:
        await directory.verify(entries[name], _SECRET)

    return login


def some_users(users: int, count: int) -> list[str]:
    """The names of `count` users out of so many, the same ones every time."""
    random = Random(2)
    return [uid(random.randrange(users)) for _ in range(count)]
