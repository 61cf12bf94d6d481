"""A directory on top of another."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from ldapmap.directory import Directory
from ldapmap.entries import Entry
from ldapmap.status import DirectoryStatus


class Layer:
    """A `Directory` that leaves everything to another; subclasses do better in what is theirs."""

    def __init__(self, inner: Directory) -> None:
        self._inner = inner

    @property
    def healthy(self) -> bool:
        return self._inner.healthy

    async def start(self) -> None:
        await self._inner.start()

    def find(self, login_name: str, *, fresh: bool = False) -> Coroutine[Any, Any, Entry]:
        return self._inner.find(login_name, fresh=fresh)

    def verify(self, entry: Entry, password: bytes) -> Coroutine[Any, Any, None]:
        return self._inner.verify(entry, password)

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        return self._inner.describe(login_name)

    def status(self) -> DirectoryStatus:
        return self._inner.status()

    async def close(self) -> None:
        await self._inner.close()
