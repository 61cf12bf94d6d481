"""Searches for users: the same one is made once however many ask, and its answer is kept as the settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ldapmap.cache import Answer, Answers
from ldapmap.directory import Directory
from ldapmap.entries import Entry
from ldapmap.errors import DirectoryError, Misconfigured, Unavailable, UnknownUser
from ldapmap.meters import Meters
from ldapmap.sections import CacheSettings

_Outcome = Entry | DirectoryError | None


class Searches:
    """Finds users in another directory. `name` is the canonical name, `typed` what it was made of.

    Every answer of a server replaces what is kept of the name; only `Unavailable` is none (but `Misconfigured` is:
    often it is about this very entry, say a restriction that cannot be read).
    """

    def __init__(self, inner: Directory, settings: CacheSettings, meters: Meters, clock: Callable[[], float]) -> None:
        self._inner = inner
        self._settings = settings
        self._meters = meters
        self._clock = clock
        self._answers = Answers(settings.size)
        self._running: dict[str, asyncio.Future[_Outcome]] = {}

    async def find(self, name: str, typed: str, *, fresh: bool = False) -> Entry:
        """The user, from an answer that is recent enough or by a search; `fresh`: by one that begins now.

        Raises what the other directory raises.
        """
        try:
            if fresh:
                entry = await self._search(name, typed)
            else:
                kept = self._kept(name, self._settings.age, self._settings.negative_age)
                if kept is not None:
                    self._meters.answered("cache")
                    return kept
                entry = await self._search_together(name, typed)
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

    async def _search_together(self, name: str, typed: str) -> Entry:
        """Join the search for this name if there is one. When whoever makes it is gone, the next goes on with it."""
        while (running := self._running.get(name)) is not None:
            outcome = await asyncio.shield(running)
            if isinstance(outcome, DirectoryError):
                raise type(outcome)(outcome.reason)
            if outcome is not None:
                return outcome
        return await self._search_for_all(name, typed)

    async def _search_for_all(self, name: str, typed: str) -> Entry:
        outcome: _Outcome = None
        running = self._running[name] = asyncio.get_running_loop().create_future()
        try:
            outcome = await self._search(name, typed)
        except DirectoryError as error:
            outcome = error
            raise
        else:
            return outcome
        finally:
            del self._running[name]
            running.set_result(outcome)

    async def _search(self, name: str, typed: str) -> Entry:
        asked = self._clock()
        try:
            entry = await self._inner.find(typed, fresh=True)
        except UnknownUser:
            self._answers.put(name, Answer(None, asked))
            raise
        except DirectoryError as error:
            if isinstance(error, Misconfigured) or not isinstance(error, Unavailable):
                self._answers.drop(name, asked)
            raise
        self._answers.put(name, Answer(entry, asked))
        return entry
