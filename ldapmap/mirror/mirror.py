"""The mirror: what the process that keeps it runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from ldapmap.mirror.control import Control
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.follower import SyncFollower
from ldapmap.mirror.polling import PollingFollower
from ldapmap.mirror.status import MirrorStatus
from ldapmap.settings import DirectorySettings
from ldapmap.targets import read_identity, target_for

_FOLLOWERS: dict[str, type[SyncFollower] | type[PollingFollower]] = {
    "syncrepl": SyncFollower,
    "usn": PollingFollower,
    "dirsync": PollingFollower,
}
"""By `follow.method`."""


class Mirror:
    """Keeps the files in the directory `path` in step with the directory. Made anywhere, run once, in one event loop.

    `forget(user)` is called for everybody whose password may have changed, `forget_all` when it may be anybody's; they
    must not raise. The constructor raises ValueError for TLS without a context, and OSError when the service identity's
    password cannot be read.
    """

    def __init__(
        self,
        settings: DirectorySettings,
        context: ssl.SSLContext | None,
        path: Path,
        *,
        forget: Callable[[str], None] = lambda user: None,
        forget_all: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._path = path
        self._identity = read_identity(settings)
        self._targets = [target_for(url, settings, context) for url in urls_of(settings)]
        self._copies = Copies(settings, path, forget=forget, forget_all=forget_all)

    async def run(self) -> None:
        """Never returns; to be cancelled. Raises Unusable when another process keeps this mirror, and OSError."""
        self._copies.open()
        try:
            async with Control(self._path, self._copies):
                follower = _FOLLOWERS[self._settings.follow.method]
                await follower(self._settings, self._targets, self._identity, self._copies).run()
        finally:
            self._copies.close()

    def status(self) -> MirrorStatus:
        return self._copies.status()

    def rebuild(self) -> None:
        """Load everything anew, at once, and use it however many users it has lost."""
        self._copies.rebuild_ordered.set()


def urls_of(settings: DirectorySettings) -> tuple[str, ...]:
    """The servers to follow, the first first."""
    ordered = sorted(settings.ordered_servers, key=lambda server: server.priority)
    return settings.follow.servers or tuple(server.url for server in ordered)
