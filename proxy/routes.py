"""Routes and shards that change while the daemon runs: what the mirror's process tells, and what its file says.

Without a mirror there is nothing to follow: a changed route is seen when the user logs in the next time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from director import EntryFault, ShardEntries, Shards
from ldapmap import Domains, Routes, Unavailable, mirror_changes, mirror_fingerprint
from proxy.settings import Settings

#: Seconds for which further changes of shards are waited for, so that many are one.
_SETTLE = 0.05
#: Seconds before the mirror's process is asked again, the first time and in the end.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: Users remembered because their new route names what is not known yet.
_MOST_WAITING = 10_000

_logger = logging.getLogger("vestibule.routes")


class Watcher(Protocol):
    """Who acts on changes. What these raise ends the following."""

    def route_changed(self, user: str, shard: str, preferred: str) -> None:
        """The user's entry says so now; without a shard: the user is gone, or has no route any more."""

    def shards_changed(self, shards: Shards) -> None:
        """These are all the shards there are."""

    def routes_lost(self) -> None:
        """Routes may have changed without a word: whoever is somewhere has to be looked up again."""


class RouteMirror:
    """The mirror's file, as far as it tells about routes. It is opened by the process that uses it, after a fork.

    A mirror that is missing or was made with other settings tells nothing; it may be there later.
    """

    def __init__(self, settings: Settings) -> None:
        directory, path = settings.directory, settings.mirror_path
        self._routes: Routes | None = None
        if path is not None:
            self._routes = Routes(path, fingerprint=mirror_fingerprint(directory), trust=directory.follow.trust)
        self._domains = Domains(directory)
        self.tells_shards: Final = bool(directory.shards.base)
        """Shards have entries in the directory."""

    def lookup(self, user: str) -> tuple[str, str] | None:
        """What the entry of this user says of shard and preferred backend.

        None: the mirror has nobody or several of this one name, or cannot be read; that alone is no reason to act.
        """
        if self._routes is None:
            return None
        likely, _ = self._domains.place(user)
        for place in dict.fromkeys([likely, *self._domains.places]):  # the name need not tell by which domain one came
            if user.endswith(place.suffix):
                entry = self._routes.find(place.number, user.removesuffix(place.suffix))
                if entry is not None and entry.user + place.suffix == user:
                    return entry.shard, entry.preferred
        return None

    def shard_entries(self) -> Mapping[str, str] | None:
        """The shards in the directory, JSON by name, as of this moment; None: there are none to be told of, or the
        mirror cannot be read."""
        if self._routes is None or not self.tells_shards:
            return None
        self._routes.look()
        stored = self._routes.shards()
        return stored if self._routes.loaded else None

    def look(self) -> None:
        """From now on the file that is in use now is asked. Without that it takes half a second to be noticed."""
        if self._routes is not None:
            self._routes.look()

    def close(self) -> None:
        """Let the file go."""
        if self._routes is not None:
            self._routes.close()


class KnownShards(NamedTuple):
    """All shards, what is wrong with entries, and the number of shards that the directory says, or None: it is not
    known what it says."""

    shards: Shards
    faults: tuple[EntryFault, ...]
    entries: int | None


def known_shards(settings: Settings) -> Shards:
    """The shards of the file, and of the directory as far as a mirror on this machine can be read."""
    return look_at_shards(settings).shards


def look_at_shards(settings: Settings) -> KnownShards:
    """The same, with what is wrong with them."""
    entries, mirror = ShardEntries(settings.shard), RouteMirror(settings)
    try:
        stored = mirror.shard_entries()
    finally:
        mirror.close()
    if stored is None:
        return KnownShards(entries.shards, (), None)
    entries.update(stored)
    return KnownShards(entries.shards, entries.faults, len(stored))


async def follow_routes(settings: Settings, watcher: Watcher, mirror: RouteMirror | None = None) -> None:
    """Tell the watcher what changes, for ever; without a mirror return at once.

    Shards that have entries in the directory are told at the beginning and whenever they differ, and always before a
    route that changed after them. While the mirror's process is away nothing is told; then everything that was missed,
    or that routes are lost. `mirror` is where the watcher looks up users, and up to date when routes are lost.
    """
    path = settings.mirror_path
    if path is None:
        return
    own = RouteMirror(settings) if mirror is None else mirror
    following = _Following(ShardEntries(settings.shard), watcher, own)
    try:
        await following.run(path)
    finally:
        following.close()
        if mirror is None:
            own.close()


class _Following:
    def __init__(self, entries: ShardEntries, watcher: Watcher, mirror: RouteMirror) -> None:
        self._entries = entries
        self._watcher = watcher
        self._mirror = mirror
        self._shards_told = False
        self._due: asyncio.TimerHandle | None = None
        self._waiting: dict[str, tuple[str, str]] = {}
        """Routes that name what is not known: users and shards come by different ways, and may overtake each other."""

    async def run(self, path: Path) -> None:
        """Follow the process that keeps the mirror in `path`."""
        self._look_at_shards()
        loop, since, pause, reason = asyncio.get_running_loop(), 0, _FIRST_PAUSE, ""
        while True:
            began = loop.time()
            try:
                async with aclosing(mirror_changes(path, since)) as changes:
                    async for change in changes:
                        since = change["seq"]
                        self._take(change)
            except Unavailable as away:
                reason = away.reason
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            if pause < _LONGEST_PAUSE <= 2 * pause:
                _logger.warning("changes of routes are seen at logins only, until the mirror is back: %s", reason)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def close(self) -> None:
        if self._due is not None:
            self._due.cancel()

    def _take(self, change: dict[str, Any]) -> None:
        if "reset" in change:
            self._mirror.look()
            self._waiting.clear()
            self._look_at_shards()
            self._watcher.routes_lost()
        elif "shard_entry" in change:
            self._look_later(_SETTLE)
        else:
            self._route(change["user"], change["shard"], change["preferred"])

    # --- routes ---

    def _route(self, user: str, shard: str, preferred: str) -> None:
        if self._due is not None:
            self._look_at_shards()
        self._waiting.pop(user, None)
        if self._may_wait(shard, preferred):
            self._waiting[user] = shard, preferred
        self._watcher.route_changed(user, shard, preferred)

    def _may_wait(self, shard: str, preferred: str) -> bool:
        room = self._mirror.tells_shards and len(self._waiting) < _MOST_WAITING
        return room and bool(shard) and not self._is_known(shard, preferred)

    def _is_known(self, value: str, preferred: str) -> bool:
        shard = self._entries.shards.find(value)
        return shard is not None and (not preferred or shard.find(preferred) is not None)

    # --- shards ---

    def _look_later(self, seconds: float) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(seconds, self._look_at_shards)

    def _look_at_shards(self) -> None:
        """Tell the shards if they differ, and then once more who was to go where they now lead."""
        self.close()
        self._due = None
        if not self._mirror.tells_shards:
            return
        stored = self._mirror.shard_entries()
        if stored is None:
            self._look_later(_LONGEST_PAUSE)
            return
        before = self._entries.faults
        changed = self._entries.update(stored)
        for fault in self._entries.faults:
            if fault not in before:
                _logger.warning("the directory's entry of shard %r is not used as it is: %s", fault.shard, fault.text)
        if changed or not self._shards_told:
            self._shards_told = True
            self._watcher.shards_changed(self._entries.shards)
            self._tell_again()

    def _tell_again(self) -> None:
        """Once more those who could not go anywhere. When there were more than were remembered, it may be anybody."""
        waiting, self._waiting = self._waiting, {}
        if len(waiting) >= _MOST_WAITING:
            self._watcher.routes_lost()
            return
        for user, (shard, preferred) in waiting.items():
            if self._is_known(shard, preferred):
                self._watcher.route_changed(user, shard, preferred)
            else:
                self._waiting[user] = shard, preferred
