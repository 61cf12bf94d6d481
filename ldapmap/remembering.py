"""A directory whose passwords are still known for a while when none of its servers answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from ldapmap.directory import Directory
from ldapmap.entries import Entry
from ldapmap.errors import (
    AccountDisabled,
    AccountLocked,
    Misconfigured,
    PasswordExpired,
    Unavailable,
    UnknownUser,
    WrongPassword,
)
from ldapmap.layer import Layer
from ldapmap.memory.line import MemoryLine
from ldapmap.memory.table import ACCEPTED
from ldapmap.meters import Meters


class RememberingDirectory(Layer):
    """Tells the line what servers say of passwords, and asks it only when no server says anything.

    Memory can let in, never send away. A password that differs from the remembered one may have been changed where
    nobody could tell us, so it is not "wrong": the login is told to try later, as if nothing were remembered. Memory is
    not asked while any server answers (a server that is merely slow, or a queue that is too long, is no reason), nor
    after an answer that cannot be understood.
    """

    def __init__(
        self, inner: Directory, line: MemoryLine, meters: Meters, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(inner)
        self._line = line
        self._meters = meters
        self._clock = clock

    async def start(self) -> None:
        self._line.start()
        await self._inner.start()

    async def verify(self, entry: Entry, password: bytes) -> None:
        asked = self._clock()
        try:
            await self._inner.verify(entry, password)
        except WrongPassword:
            self._line.disown(entry, password)
            raise
        except (UnknownUser, AccountLocked, AccountDisabled, PasswordExpired):
            self._line.forget(entry.user)
            raise
        except Misconfigured:
            raise
        except Unavailable:
            if self._inner.healthy or not await self._recalls(entry, password):
                raise
        else:
            self._line.remember(entry, password, asked)

    async def close(self) -> None:
        await self._inner.close()
        self._line.close()

    async def _recalls(self, entry: Entry, password: bytes) -> bool:
        verdict = await self._line.verify(entry, password)
        self._meters.remembered(verdict)
        return verdict == ACCEPTED
