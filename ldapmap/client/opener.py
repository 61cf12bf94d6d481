"""Opening connections: one attempt at a time, for everybody who needs one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ldapmap.errors import Unavailable

C = TypeVar("C")


class Opener(Generic[C]):
    """Owns the attempt in progress, if there is one. Its end is told to `opened` or to `failed`.

    No login makes an attempt of its own: a server that hangs costs one attempt and not one for each, and after a
    restart a server shakes hands with each worker in turn.
    """

    def __init__(
        self, attempt: Callable[[], Awaitable[C]], opened: Callable[[C], None], failed: Callable[[Unavailable], None]
    ) -> None:
        self._attempt = attempt
        self._opened = opened
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        """Begin an attempt unless there is one."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="ldapmap opener")

    async def close(self) -> None:
        """Give up the attempt; nothing is told any more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        try:
            connection = await self._attempt()
        except Unavailable as fault:
            self._task = None
            self._failed(fault)
        else:
            self._task = None
            self._opened(connection)
