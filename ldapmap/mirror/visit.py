"""One connection to a domain controller, as long as it lasts: everything is loaded, compared, or followed by polling.

What changed is told as ids (usn.py, dirsync.py). The entries with these ids are read again, below each base and with
its filter; those that are not found there are not of it any more, for whatever reason: deleted, moved away, or of
another kind now. When a container is renamed or moved, nothing about the entries below it changes but their DNs, so
everything below a changed container counts as changed.

From time to time everything is compared: membership in a group changes no user's entry though a filter may ask for it,
and a deletion may be hidden from us. Polling goes on between the pages of that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from ldapmap.client.filters import Equal, Filter, Group, Present
from ldapmap.client.messages import FoundEntry
from ldapmap.mirror.contents import Contents, purge
from ldapmap.mirror.controls import Question
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.errors import Full, PurgeRefused
from ldapmap.mirror.listing import ListingConnection
from ldapmap.mirror.store import Writer
from ldapmap.mirror.transaction import Transaction
from ldapmap.mirror.usn import id_of
from ldapmap.settings import FollowSettings

BATCH = 100
"""Entries read again with one search."""

COMPARE_SECONDS = 3600.0
"""Time between two comparisons of everything."""

COMPARE_AGAIN_SECONDS = 300.0
"""The same after one that was refused: the server may have been mended."""

_CONTAINERS = ("organizationalUnit", "container", "organization", "locality", "country")
_GROWTHS = 3
"""How often a transaction is done again that found no room, though there is twice the room each time."""


class Changes(Protocol):
    """A way to learn what changed: `UsnChanges` or `DirSyncChanges`."""

    name: str
    warning: str

    async def resume(self, saved: bytes) -> bool: ...

    async def begin(self) -> None: ...

    def changed(self) -> AsyncIterator[list[bytes]]: ...

    @property
    def position(self) -> bytes: ...


class Part(NamedTuple):
    """Entries that are mirrored: where they are, which they are, and what becomes of them."""

    base: str
    scope: Literal["one", "subtree"]
    condition: Filter
    contents: Contents

    def question(self, *conditions: Filter) -> Question:
        """A search for those of the entries that meet the conditions as well."""
        every = Group(True, (self.condition, *conditions)) if conditions else self.condition
        return Question(self.base, self.scope, every, ("objectGUID", *self.contents.wanted))


class Visit:
    """What is done over one connection. Whatever goes wrong is raised, and the next visit begins where we were."""

    def __init__(
        self,
        connection: ListingConnection,
        changes: Changes,
        context: str,
        parts: Sequence[Part],
        copies: Copies,
        settings: FollowSettings,
    ) -> None:
        self._connection = connection
        self._changes = changes
        self._context = context
        self._parts = parts
        self._copies = copies
        self._settings = settings
        self._cookie = f"{changes.name}:{context}"
        self._seen: list[set[bytes]] = []
        """While everything is compared: the ids of each part that are there."""
        self._whole = False
        """The copy is what the server has; else only a comparison makes it that."""
        self._noted = float("-inf")

    async def load(self) -> None:
        """Fetch everything into a new copy. Raises PurgeRefused when it has lost too many users."""
        self._copies.progress.loading(str(self._connection))
        writer = self._copies.load()
        try:
            await self._changes.begin()
            for part in self._parts:
                async for entries in self._connection.pages(part.question()):
                    self._load(writer, part, entries)
            self._write(writer, lambda change: change.set_cookie(self._cookie, self._changes.position))
            self._copies.accept(writer)
        except BaseException:
            self._copies.discard(writer)
            raise
        self._whole = True

    async def follow(self) -> None:
        """Stay in step until an operator orders everything to be loaded anew."""
        writer = self._writer()
        if not self._whole:
            self._whole = await self._changes.resume(writer.cookie(self._cookie))
        due = self._now() + COMPARE_SECONDS if self._whole else 0.0
        self._tell_state()
        while not self._copies.rebuild_ordered.is_set():
            if self._now() >= due:
                due = self._now() + await self._compare()
            await self._poll()
            await self._wait()

    def _tell_state(self) -> None:
        """As far as it is known: what the server says may still be compared with the copy."""
        progress = self._copies.progress
        if self._whole:
            progress.following(str(self._connection))
        progress.message = self._changes.warning

    # --- everything ---

    async def _compare(self) -> float:
        """Write whatever differs; seconds until it should be done again."""
        if not self._whole:
            await self._changes.begin()
        self._seen = [set() for _ in self._parts]
        try:
            for number, part in enumerate(self._parts):
                async for entries in self._connection.pages(part.question()):
                    self._found(number, entries)
                    await self._poll()
            self._write(self._writer(), self._purge)
        except PurgeRefused as refusal:
            self._whole = False
            self._copies.progress.refused(str(self._connection), refusal.reason)
            return COMPARE_AGAIN_SECONDS
        finally:
            self._seen = []
        self._whole = True
        self._noted = float("-inf")
        self._tell_state()
        return COMPARE_SECONDS

    def _purge(self, change: Transaction) -> None:
        for part, seen in zip(self._parts, self._seen, strict=True):
            purge(part.contents, change, seen, self._settings.purge_limit)

    # --- changes ---

    async def _poll(self) -> None:
        """Write what changed since the last time, and note that the server was heard."""
        some = False
        async for ids in self._changes.changed():
            for batch in _batches(ids):
                some = True
                await self._read_again(batch)
                await self._read_below(batch)
        if self._whole and (some or self._now() >= self._noted + self._settings.heartbeat):
            self._note()

    def _note(self) -> None:
        """Everything up to the position is written, and the copy is fresh."""
        self._noted = self._now()
        self._write(self._writer(), lambda change: change.set_cookie(self._cookie, self._changes.position))
        self._copies.heard()

    async def _read_below(self, ids: Sequence[bytes]) -> None:
        """Read again what is below those of the entries that are containers."""
        question = Question(self._context, "subtree", Group(True, (_CONTAINER, _one_of(ids))), ("1.1",))
        async for containers in self._connection.pages(question):
            for container in containers:
                await self._read_tree(container.dn)

    async def _read_tree(self, dn: str) -> None:
        question = Question(dn, "subtree", Present(b"objectClass"), ("objectGUID",))
        async for entries in self._connection.pages(question):
            for batch in _batches([entry_id for entry in entries for entry_id in id_of(entry)]):
                await self._read_again(batch)

    async def _read_again(self, ids: Sequence[bytes]) -> None:
        """Write these entries as they are now, below each base."""
        for number, part in enumerate(self._parts):
            found: list[FoundEntry] = []
            async for entries in self._connection.pages(part.question(_one_of(ids))):
                found += entries
            self._found(number, found, ids)

    # --- writing ---

    def _found(self, number: int, entries: Sequence[FoundEntry], asked: Iterable[bytes] = ()) -> None:
        """Put entries of a part, and delete those asked for that were not found."""
        self._copies.progress.received += len(entries)
        part = self._parts[number]
        ids = {entry_id for entry in entries for entry_id in id_of(entry)}
        gone = set(asked) - ids
        if self._seen:
            self._seen[number] |= ids
            self._seen[number] -= gone

        def work(change: Transaction) -> None:
            for entry_id in gone:
                part.contents.delete(change, entry_id)
            _put(change, part, entries)

        self._write(self._writer(), work)

    def _load(self, writer: Writer, part: Part, entries: Sequence[FoundEntry]) -> None:
        self._copies.progress.received += len(entries)
        self._write(writer, lambda change: _put(change, part, entries))

    def _write(self, writer: Writer, work: Callable[[Transaction], None], growths: int = _GROWTHS) -> None:
        try:
            with writer.transaction() as change:
                work(change)
        except Full:
            if not growths:
                raise
            self._write(writer, work, growths - 1)
            return
        self._copies.applied()

    # --- details ---

    def _writer(self) -> Writer:
        assert self._copies.writer is not None, "there is nothing to follow before the first load"  # noqa: S101
        return self._copies.writer

    async def _wait(self) -> None:
        """Until it is time to look again, or an operator orders something."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.poll):
                await self._copies.rebuild_ordered.wait()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _put(change: Transaction, part: Part, entries: Iterable[FoundEntry]) -> None:
    for entry in entries:
        for entry_id in id_of(entry):
            part.contents.put(change, entry_id, entry.dn.encode(), entry.attributes)


def _one_of(ids: Sequence[bytes]) -> Filter:
    return Group(False, tuple(Equal(b"objectGUID", entry_id) for entry_id in ids))


def _batches(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


_CONTAINER = Group(False, tuple(Equal(b"objectClass", name.encode()) for name in _CONTAINERS))
