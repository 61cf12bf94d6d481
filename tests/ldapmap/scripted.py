"""A directory that does what the test says, meters that remember what they are told, and a clock set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ldapmap.entries import Entry
from ldapmap.errors import DirectoryError
from ldapmap.meters import Operation, Outcome, Remembered, Source
from ldapmap.status import DirectoryStatus

ALICE = Entry("alice", "uid=alice,dc=x", "s1")
BOB = Entry("bob", "uid=bob,dc=x", "s2")


class ManualClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class RecordingMeters:
    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.verdicts: list[Remembered] = []

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
        raise AssertionError("layers ask no servers")

    def waited(self, seconds: float) -> None:
        raise AssertionError("layers wait for no connections")

    def answered(self, source: Source) -> None:
        self.sources.append(source)

    def remembered(self, outcome: Remembered) -> None:
        self.verdicts.append(outcome)


class ScriptedDirectory:
    """Answers every search with `found` and every password with `verdict`; exceptions among them are raised.

    While `hold` is set, searches wait until it is.
    """

    def __init__(self) -> None:
        self.found: Entry | DirectoryError = ALICE
        self.verdict: DirectoryError | None = None
        self.up = True
        self.searched: list[str] = []
        self.verified: list[bytes] = []
        self.life: list[str] = []
        self.hold: asyncio.Event | None = None
        self.while_searching: Callable[[], None] = lambda: None

    @property
    def healthy(self) -> bool:
        return self.up

    async def start(self) -> None:
        self.life.append("start")

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        return await self.look_up(login_name)

    async def look_up(self, name: str) -> Entry:
        self.searched.append(name)
        found = self.found
        if self.hold is not None:
            await asyncio.wait_for(self.hold.wait(), 10)
        self.while_searching()
        if isinstance(found, DirectoryError):
            raise found
        return found

    async def verify(self, entry: Entry, password: bytes) -> None:
        self.verified.append(password)
        if self.verdict is not None:
            raise self.verdict

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        return [("typed name", login_name)]

    def status(self) -> DirectoryStatus:
        return DirectoryStatus(servers=())

    async def close(self) -> None:
        self.life.append("close")


async def turns(count: int = 5) -> None:
    """Let other tasks run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)
