"""Follows Active Directory: one domain controller at a time, by looking for changes every `follow.poll` seconds.

It stays with a controller as long as that answers, because changing to another one means comparing everything (usn.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence

import lmdb

from ldapmap.client.connection import Identity, Target, open_connection
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import parse_filter
from ldapmap.domains import Domains
from ldapmap.errors import DirectoryError, Misconfigured
from ldapmap.mirror.contents import Shards, Users
from ldapmap.mirror.controller import Controller, introduce, within
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.dirsync import DirSyncChanges
from ldapmap.mirror.errors import MirrorError, PurgeRefused
from ldapmap.mirror.listing import PAGE_SECONDS, ListingConnection
from ldapmap.mirror.usn import UsnChanges
from ldapmap.mirror.visit import Changes, Part, Visit
from ldapmap.settings import DirectorySettings

_log = logging.getLogger(__name__)

_ATTRIBUTE = re.compile(r"\(([A-Za-z0-9][A-Za-z0-9.-]*)")
_FIRST_PAUSE = 0.02
"""Of the longest: a connection that was cut is soon there again, a controller that is gone is not always asked."""


class PollingFollower:
    """Keeps `copies` in step with Active Directory. Made and run in one event loop."""

    def __init__(
        self, settings: DirectorySettings, targets: Sequence[Target], identity: Identity | None, copies: Copies
    ) -> None:
        self._settings = settings
        self._targets = list(targets)
        self._identity = identity
        self._copies = copies
        self._parts = parts_of(settings, copies.forget)
        self._first_pause = settings.follow.retry * _FIRST_PAUSE
        self._pause = self._first_pause

    async def run(self) -> None:
        """Never returns. What goes wrong is told in the status; then the next controller is tried."""
        while True:
            for target in self._targets:
                if await self._followed(target):
                    self._prefer(target)
                    break
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, self._settings.follow.retry)

    async def _followed(self, target: Target) -> bool:
        """Follow this controller as long as it goes well; whether the copy was in step with it at all."""
        name, progress = str(target.address), self._copies.progress
        before = progress.last_contact
        try:
            await self._visit(target)
        except PurgeRefused as refusal:
            progress.refused(name, refusal.reason)
            _log.error("mirror: %s: %s", name, refusal.reason)
        except (DirectoryError, MirrorError, lmdb.Error, OSError) as fault:
            reason = fault.reason if isinstance(fault, DirectoryError | MirrorError) else str(fault)
            progress.failed(name, reason)
            _log.warning("mirror: %s: %s", name, reason)
        return progress.last_contact != before

    def _prefer(self, target: Target) -> None:
        """Begin with this controller next time, and soon: with another one everything would have to be compared."""
        self._targets.remove(target)
        self._targets.insert(0, target)
        self._pause = self._first_pause

    async def _visit(self, target: Target) -> None:
        """Raises whatever ends it."""
        deadlines = Deadlines(max(PAGE_SECONDS, self._settings.operation_timeout))
        try:
            connection = await open_connection(ListingConnection, target, deadlines, self._identity)
            try:
                await self._use(connection)
            finally:
                connection.close()
        finally:
            deadlines.close()

    async def _use(self, connection: ListingConnection) -> None:
        follow, seconds = self._settings.follow, self._settings.operation_timeout
        controller = await introduce(connection, follow.deleted_base, seconds)
        for part in self._parts:
            if not within(part.base, controller.context):
                raise Misconfigured(f"{part.base!r} is not in the naming context {controller.context!r}")
        changes = self._changes(connection, controller)
        visit = Visit(connection, changes, controller.context, self._parts, self._copies, follow)
        while True:
            if self._copies.writer is None or self._copies.rebuild_ordered.is_set():
                await visit.load()
            await visit.follow()

    def _changes(self, connection: ListingConnection, controller: Controller) -> Changes:
        if self._settings.follow.method == "usn":
            return UsnChanges(connection, controller, self._settings.operation_timeout)
        wanted = {name for part in self._parts for name in part.contents.wanted}
        return DirSyncChanges(connection, controller, sorted(wanted | attributes_in(self._settings)))


def parts_of(settings: DirectorySettings, forget: Callable[[str], None]) -> list[Part]:
    """Everything the settings want mirrored: the users below each base, and the shards."""
    condition = parse_filter(settings.filter)
    parts = [
        Part(base, settings.scope, condition, Users(settings, number, forget=forget))
        for number, base in enumerate(Domains(settings).bases)
    ]
    if settings.shards.base:
        condition = parse_filter(settings.shards.filter)
        parts.append(Part(settings.shards.base, "subtree", condition, Shards(settings.shards)))
    return parts


def attributes_in(settings: DirectorySettings) -> set[str]:
    """The attributes that decide which entries are mirrored."""
    return set(_ATTRIBUTE.findall(settings.filter)) | set(_ATTRIBUTE.findall(settings.shards.filter))
