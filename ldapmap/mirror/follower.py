"""Keeps the copy in step with a server that has content synchronisation (RFC 4533), OpenLDAP above all.

One connection carries a sync search for every base, and questions whether the server lives when it is silent. A cookie
of one server is good for all that replicate with it, so a copy goes on with whichever of them answers.

* A server that cannot tell what changed since the cookie may just be behind, or have gone back after a failure: the
  others are asked first. Only when none of them can go on from the cookie is everything loaded, into a new file.
* A comparison or a load that would remove too many users is refused. A comparison is tried again at every turn, a load,
  which costs the server more, after a while; an operator's order is obeyed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

import lmdb

from ldapmap.client.connection import Identity, Target, open_connection
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import parse_filter
from ldapmap.domains import Domains
from ldapmap.errors import DirectoryError, ServerFault
from ldapmap.mirror.connection import SyncConnection, SyncSearch
from ldapmap.mirror.consumer import Consumer
from ldapmap.mirror.contents import Contents, Shards, Users
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.errors import MirrorError, PurgeRefused, ReloadNeeded
from ldapmap.mirror.status import told
from ldapmap.mirror.store import Writer
from ldapmap.mirror.syncrepl import SyncEntry, SyncEvent
from ldapmap.settings import DirectorySettings, FollowSettings

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.01
"""Of the longest: a server that was restarted is soon followed again, one that is gone is not asked all the time."""
_SILENT_REFRESH = 600.0
"""Seconds without any news during a refresh, from a server that answers otherwise, after which it is given up."""
_LOAD_AGAIN = 600.0
"""Seconds after a refused load before the next."""
_NOTED = 1.0
"""Seconds between two notes in the file, at least, that the server was heard."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is followed by a search of its own."""

    search: SyncSearch
    contents: Contents


class SyncFollower:
    """Keeps `copies` in step with the first of `targets` that it can. Made and run in one event loop."""

    def __init__(
        self, settings: DirectorySettings, targets: Sequence[Target], identity: Identity | None, copies: Copies
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._identity = identity
        self._copies = copies
        self._loop = asyncio.get_running_loop()
        self._pause = self._first_pause = settings.follow.retry * _FIRST_PAUSE
        self._load_after = -math.inf

    async def run(self) -> None:
        """Never returns. What goes wrong is told in the status and the log; then the next server is tried."""
        while True:
            await self._turn()
            await self._rest()

    async def _turn(self) -> None:
        """Try every server once, and follow it as long as it goes well."""
        behind: list[Target] = []
        for target in self._targets:
            fault = await self._attempt(target, load=self._must_load())
            while isinstance(fault, RebuildOrdered):
                fault = await self._attempt(target, load=True)
            if fault is None:
                behind.clear()
            elif isinstance(fault, ReloadNeeded):
                behind.append(target)
        if behind and self._loop.time() >= self._load_after:
            await self._attempt(behind[0], load=True)

    async def _attempt(self, target: Target, *, load: bool) -> Exception | None:
        """Follow this server as long as it goes well: the order that ended it, or why it never came to that."""
        visit = Visit(self._settings, target, self._copies)
        name, progress = str(target.address), self._copies.progress
        fault: Exception | None = None
        try:
            await visit.run(self._identity, load=load)
        except RebuildOrdered as order:
            _log.warning("mirror: everything is loaded anew, as ordered")
            return order
        except PurgeRefused as refusal:
            fault = refusal
            progress.refused(name, refusal.reason)
            _log.error("mirror: %s", told(name, refusal.reason))
            if load:
                self._load_after = self._loop.time() + _LOAD_AGAIN
        except (DirectoryError, MirrorError, lmdb.Error, OSError) as caught:
            fault = caught
            reason = caught.reason if isinstance(caught, DirectoryError | MirrorError) else str(caught)
            progress.failed(name, reason)
            _log.warning("mirror: %s", told(name, reason))
        if visit.in_step:
            self._pause = self._first_pause
            return None
        return fault

    def _must_load(self) -> bool:
        return self._copies.writer is None or self._copies.rebuild_ordered.is_set()

    async def _rest(self) -> None:
        """Until the next turn; a new order ends it."""
        pause, self._pause = self._pause, min(2 * self._pause, self._settings.follow.retry)
        if self._copies.rebuild_ordered.is_set():  # and could not be obeyed
            await asyncio.sleep(pause)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._copies.rebuild_ordered.wait()


class RebuildOrdered(Exception):
    """An operator wants everything to be loaded, now."""


class Visit:
    """One connection to one server. `in_step`: the copy has been what the server has."""

    def __init__(self, settings: DirectorySettings, target: Target, copies: Copies) -> None:
        self.in_step = False
        self._follow: FollowSettings = settings.follow
        self._seconds = settings.operation_timeout
        self._target = target
        self._copies = copies
        self._parts = parts_of(settings, copies.forget)
        self._noted = -math.inf

    async def run(self, identity: Identity | None, *, load: bool) -> None:
        """Never returns. Raises whatever ends it; with `load`, everything is loaded first."""
        deadlines = Deadlines(self._seconds)
        try:
            connection = await open_connection(SyncConnection, self._target, deadlines, identity)
            try:
                await (self._load(connection) if load else self._resume(connection))
                self._begin()
                await self._unless_ordered(self._watch(connection, lambda: False, math.inf))
            finally:
                connection.close()
        finally:
            deadlines.close()

    async def _load(self, connection: SyncConnection) -> None:
        self._copies.progress.loading(str(connection))
        writer = self._copies.load()
        try:
            await self._refresh(connection, writer)
            self._copies.accept(writer)
        except BaseException:
            connection.abort("the load came to nothing")
            self._copies.discard(writer)
            raise

    async def _resume(self, connection: SyncConnection) -> None:
        assert self._copies.writer is not None, "what is missing has to be loaded"  # noqa: S101 (our own mistake)
        await self._unless_ordered(self._refresh(connection, self._copies.writer))

    async def _refresh(self, connection: SyncConnection, writer: Writer) -> None:
        """Fetch what has changed since the cookies in `writer`."""
        limit = self._follow.purge_limit
        consumers = [Consumer(writer, each.contents, name=each.search.name, purge_limit=limit) for each in self._parts]
        for part, consumer in zip(self._parts, consumers, strict=True):
            connection.follow(part.search, consumer.cookie, self._receiver(consumer))
        await self._watch(connection, lambda: all(each.refreshed for each in consumers), _SILENT_REFRESH)

    def _receiver(self, consumer: Consumer) -> Callable[[Sequence[SyncEvent]], None]:
        copies = self._copies

        def receive(events: Sequence[SyncEvent]) -> None:
            consumer.consume(events)
            copies.progress.received += sum([type(event) is SyncEntry for event in events])
            copies.applied()

        return receive

    def _begin(self) -> None:
        """From now on the copy is what the server has."""
        self.in_step = True
        self._copies.progress.following(str(self._target.address))
        for part in self._parts:
            if part.contents.unusable_reason:
                self._copies.progress.message = part.contents.unusable_reason
        self._note()

    async def _watch(self, connection: SyncConnection, done: Callable[[], bool], silence: float) -> None:
        """Wait until `done`. A silent server is asked whether it lives; `silence` seconds are too long anyhow."""
        while not done():
            connection.activity.clear()
            if connection.over.done():
                connection.over.result()
            try:
                async with asyncio.timeout(self._follow.heartbeat):
                    await connection.activity.wait()
            except TimeoutError:
                await connection.probe(self._parts[0].search.base)
            if connection.silent_for > silence:
                raise ServerFault(f"{connection}: the refresh does not go on")
            self._note()

    def _note(self) -> None:
        """The server was heard."""
        now = asyncio.get_running_loop().time()
        if self.in_step and now - self._noted >= min(_NOTED, self._follow.heartbeat):
            self._noted = now
            self._copies.heard()

    async def _unless_ordered(self, work: Coroutine[None, None, None]) -> None:
        """Do this work unless a rebuild is ordered meanwhile: then RebuildOrdered is raised."""
        loop = asyncio.get_running_loop()
        working = loop.create_task(work)
        ordered = loop.create_task(self._copies.rebuild_ordered.wait())
        try:
            await asyncio.wait((working, ordered), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise RebuildOrdered
            working.result()
        finally:
            for task in (working, ordered):
                task.cancel()
            await asyncio.gather(working, ordered, return_exceptions=True)


def parts_of(settings: DirectorySettings, forget: Callable[[str], None]) -> list[Part]:
    """Everything the settings want mirrored: the users below each base, and the shards."""
    condition = parse_filter(settings.filter)
    parts = []
    for number, base in enumerate(Domains(settings).bases):
        users = Users(settings, number, forget=forget)
        parts.append(Part(SyncSearch(base, base, settings.scope, condition, users.wanted), users))
    if base := settings.shards.base:
        shards = Shards(settings.shards)
        condition = parse_filter(settings.shards.filter)
        parts.append(Part(SyncSearch(f"shards {base}", base, "subtree", condition, shards.wanted), shards))
    return parts
