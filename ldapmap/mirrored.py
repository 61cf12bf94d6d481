"""A directory whose users are read from the mirror, and searched for only where it cannot tell."""

from __future__ import annotations

import time
from collections.abc import Callable

from ldapmap.directory import ServerDirectory
from ldapmap.domains import Domains, Place
from ldapmap.entries import Entry
from ldapmap.errors import Misconfigured, Unavailable
from ldapmap.layer import Layer
from ldapmap.meters import Meters
from ldapmap.mirror.routes import Routes
from ldapmap.names import canonical
from ldapmap.searches import Searches
from ldapmap.settings import DirectorySettings


class MirroredDirectory(Layer):
    """Believes in this order:

    1. a user in a mirror that has lately heard its server;
    2. a server: for a name the mirror does not have (just created, ambiguous, or of nobody), for a mirror that has lost
       its server, and for whoever wants a `fresh` answer;
    3. when no server answers, a user in the mirror however old it is;
    4. and only while there is no mirror at all, the answers of former searches: what a mirror does not have any more
       has been deleted, and must not come back out of a cache.

    A name that is not in the mirror is never unknown on the mirror's word.
    """

    def __init__(
        self,
        inner: ServerDirectory,
        routes: Routes,
        settings: DirectorySettings,
        domains: Domains,
        meters: Meters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._routes = routes
        self._rules = settings.names
        self._domains = domains
        self._meters = meters
        self._searches = Searches(inner, settings.cache, meters, clock)

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        name = canonical(login_name, self._rules)
        place, key = self._domains.place(name)
        if not fresh:
            entry = self._routes.find(place.number, key)
            if entry is not None and self._routes.fresh:
                self._meters.answered("mirror")
                return entry.at(place)
        try:
            return await self._searches.find(name, fresh=fresh)
        except Misconfigured:
            raise
        except Unavailable:
            found = self._without_servers(name, place, key)
            if found is None:
                raise
            return found

    async def close(self) -> None:
        await self._inner.close()
        self._routes.close()

    def _without_servers(self, name: str, place: Place, key: str) -> Entry | None:
        entry = self._routes.find(place.number, key)
        if entry is not None:
            self._meters.answered("mirror" if self._routes.fresh else "stale")
            return entry.at(place)
        return None if self._routes.loaded else self._searches.outdated(name)
