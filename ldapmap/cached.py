"""A directory whose answers are kept for a while, to spare its servers and to outlive them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ldapmap.directory import ServerDirectory
from ldapmap.entries import Entry
from ldapmap.errors import Misconfigured, Unavailable
from ldapmap.layer import Layer
from ldapmap.meters import Meters
from ldapmap.names import canonical
from ldapmap.searches import Searches
from ldapmap.settings import DirectorySettings


class CachedDirectory(Layer):
    """Finds users as `cache` of the settings says: at its defaults each login searches, and while no server answers the
    user is the one found last.

    An old answer stands in for silence only. Misconfigured is no silence: a server has answered, often about this very
    entry (a restriction with a slip of the pen), and to go on as if it had not might let in who is to be kept out.
    """

    def __init__(
        self,
        inner: ServerDirectory,
        settings: DirectorySettings,
        meters: Meters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._rules = settings.names
        self._searches = Searches(inner, settings.cache, meters, clock)

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        name = canonical(login_name, self._rules)
        try:
            return await self._searches.find(name, fresh=fresh)
        except Misconfigured:
            raise
        except Unavailable:
            entry = self._searches.outdated(name)
            if entry is None:
                raise
            return entry
