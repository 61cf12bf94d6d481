"""A store that takes a turn of the loop for each answer, and that can be away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from director.store import Snapshot, StoreAway, Swapped
from director.stores.memory import MemoryStore


class Distant:
    """A MemoryStore behind a wire: `away` cuts it, `asked` has the name of every question."""

    def __init__(self, near: MemoryStore) -> None:
        self.near = near
        self.away = False
        self.asked: list[str] = []

    async def start(self) -> None:
        await self.near.start()

    async def close(self) -> None:
        self.asked.append("close")
        await self.near.close()

    async def swap(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        await self._reach("swap")
        return await self.near.swap(user, expected, new, ttl)

    async def read(self, user: str) -> bytes | None:
        await self._reach("read")
        return await self.near.read(user)

    async def scan(self, backend: str = "") -> AsyncIterator[tuple[str, bytes]]:
        async for found in self.near.scan(backend):
            await self._reach("scan")
            yield found

    async def beat(self, node: str, incarnation: str) -> Snapshot:
        await self._reach("beat")
        return await self.near.beat(node, incarnation)

    async def leave(self, node: str) -> None:
        await self._reach("leave")
        await self.near.leave(node)

    async def set_admin(self, backend: str, state: str) -> None:
        await self._reach("set_admin")
        await self.near.set_admin(backend, state)

    async def vote(self, node: str, backend: str, view: str, ttl: float) -> None:
        await self._reach("vote")
        await self.near.vote(node, backend, view, ttl)

    async def count(self, key: str, node: str, value: int, ttl: float) -> Mapping[str, int]:
        await self._reach("count")
        return await self.near.count(key, node, value, ttl)

    async def hit(self, key: str, window: float) -> int:
        await self._reach("hit")
        return await self.near.hit(key, window)

    async def publish(self, message: bytes) -> None:
        await self._reach("publish")
        await self.near.publish(message)

    async def messages(self) -> AsyncIterator[bytes]:
        await self._reach("messages")
        async for message in self.near.messages():
            if self.away:
                break
            yield message
        raise StoreAway("away")

    async def _reach(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(0)
        if self.away:
            raise StoreAway("away")
