"""Searches for users: the same one is made once however many ask, and its answer is kept as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ldapmap.cache import Answer, Answers
from ldapmap.directory import ServerDirectory
from ldapmap.entries import Entry
from ldapmap.errors import DirectoryError, Misconfigured, Unavailable, UnknownUser
from ldapmap.meters import Meters
from ldapmap.sections import CacheSettings

_Outcome = Entry | DirectoryError | None


class Searches:
    """Finds users, by their canonical names, in a directory on servers.

    Every answer of a server replaces what is kept of the name; only `Unavailable` is none (but `Misconfigured` is:
    often it is about this very entry, say a restriction that cannot be read).
    """

    def __init__(
        self, inner: ServerDirectory, settings: CacheSettings, meters: Meters, clock: Callable[[], float]
    ) -> None:
        self._inner = inner
        self._settings = settings
        self._meters = meters
        self._clock = clock
        self._answers = Answers(settings.size)
        self._running: dict[str, asyncio.Future[_Outcome] | None] = {}
        """The searches that others may join; a future as soon as somebody has."""

    async def find(self, name: str, *, fresh: bool = False) -> Entry:
        """The user, from an answer that is recent enough or by a search; `fresh`: by one that begins now.

        Raises what the other directory raises.
        """
        try:
            entry = None
            if not fresh:
                kept = self._kept(name, self._settings.age, self._settings.negative_age)
                if kept is not None:
                    self._meters.answered("cache")
                    return kept
                if name in self._running:
                    entry = await self._joined(name)
            if entry is None:
                entry = await self._search(name, joinable=not fresh)
        except UnknownUser:
            self._meters.answered("missing")
            raise
        self._meters.answered("live")
        return entry

    def outdated(self, name: str) -> Entry | None:
        """The user as last found, for when no server answers; None: not known, or too long ago.

        Raises UnknownUser when nobody had the name.
        """
        try:
            kept = self._kept(name, self._settings.stale_age, self._settings.stale_negative_age)
        except UnknownUser:
            self._meters.answered("missing")
            raise
        if kept is not None:
            self._meters.answered("stale")
        return kept

    def _kept(self, name: str, age: float, negative_age: float) -> Entry | None:
        answer = self._answers.get(name)
        if answer is None:
            return None
        limit = negative_age if answer.entry is None else age
        if self._clock() - answer.asked >= limit:
            return None
        if answer.entry is None:
            raise UnknownUser("no entry had this name a short while ago")
        return answer.entry

    async def _joined(self, name: str) -> Entry | None:
        """The outcome of the search under way; None: whoever made it is gone, and nobody has gone on with it."""
        while name in self._running:
            running = self._running[name]
            if running is None:
                running = self._running[name] = asyncio.get_running_loop().create_future()
            outcome = await asyncio.shield(running)
            if isinstance(outcome, DirectoryError):
                raise type(outcome)(outcome.reason)
            if outcome is not None:
                return outcome
        return None

    async def _search(self, name: str, *, joinable: bool) -> Entry:
        asked = self._clock()
        outcome: _Outcome = None
        if joinable:
            self._running[name] = None
        try:
            outcome = entry = await self._inner.look_up(name)
            self._answers.put(name, Answer(entry, asked))
        except DirectoryError as error:
            outcome = error
            self._learn(name, error, asked)
            raise
        finally:
            running = self._running.pop(name) if joinable else None
            if running is not None:
                running.set_result(outcome)
        return entry

    def _learn(self, name: str, error: DirectoryError, asked: float) -> None:
        if isinstance(error, UnknownUser):
            self._answers.put(name, Answer(None, asked))
        elif isinstance(error, Misconfigured) or not isinstance(error, Unavailable):
            self._answers.drop(name, asked)
