"""The copy of the directory that readers use, and the one that is being loaded to take its place.

A follower works on `writer`. When there is none, or the server cannot tell what changed, it loads a new one: `load`,
fill it, `accept` it, and from then on `writer` is the new one; or `discard` it. A load that has lost many users is
refused, unless it was ordered.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from ldapmap.mirror.changes import Change
from ldapmap.mirror.errors import PurgeRefused, Unusable
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.generations import Generations
from ldapmap.mirror.status import MirrorStatus, Progress
from ldapmap.mirror.store import Writer
from ldapmap.settings import DirectorySettings

_log = logging.getLogger(__name__)


class Copies:
    """The files in the directory `path`, for one event loop.

    A follower calls `forget(user)` for everybody whose password may have changed; `forget_all` is called before another
    copy is used, for nobody knows whose password has changed since the former. `rebuild_ordered` is set by an operator:
    a follower drops what it does and loads anew, and `accept` clears it. What a follower notes belongs into `progress`.
    It calls `heard` when its server has spoken and `writer` is in step with it, and `applied` after each transaction.
    """

    def __init__(
        self,
        settings: DirectorySettings,
        path: Path,
        *,
        forget: Callable[[str], None],
        forget_all: Callable[[], None],
    ) -> None:
        self.writer: Writer | None = None
        self.progress = Progress()
        self.rebuild_ordered = asyncio.Event()
        self.purge_limit = settings.follow.purge_limit
        self.forget = forget
        self._forget_all = forget_all
        self._generations = Generations(path)
        self._fingerprint = fingerprint(settings)
        self._changed = asyncio.Event()
        self._in_step = time.monotonic()
        self._told = 0

    # --- the directory of files ---

    def open(self) -> None:
        """Lock the directory and take up the file that is there, if it is of use.

        Raises Unusable when another process has the lock.
        """
        self._generations.acquire()
        current = self._generations.current
        if current is None:
            return
        try:
            self.writer = Writer(current, fingerprint=self._fingerprint)
        except Unusable as unusable:
            _log.warning("the mirror is loaded anew: %s", unusable.reason)
        else:
            self._told = self.writer.sequence

    def close(self) -> None:
        """Close the file so that it can be used again, and unlock the directory."""
        if self.writer is not None:
            self.writer.close(clean=True)
            self.writer = None
        self._generations.release()

    # --- a load ---

    def load(self) -> Writer:
        """A new, empty copy to be filled."""
        return Writer(self._generations.new(), fingerprint=self._fingerprint)

    def discard(self, loaded: Writer) -> None:
        """Remove a copy that came to nothing."""
        loaded.close(clean=False)
        self._generations.discard(loaded.path)

    def accept(self, loaded: Writer) -> None:
        """Let readers use the new copy, and remove the one before it.

        Raises PurgeRefused when it has lost more users than the limit allows and nobody ordered a rebuild.
        """
        if not self.rebuild_ordered.is_set():
            self._refuse_loss(loaded)
        loaded.finish_load()
        self._forget_all()
        self._beat(loaded)
        self._generations.publish(loaded.path)
        former, self.writer = self.writer, loaded
        if former is not None:
            former.close(clean=False)
        self.rebuild_ordered.clear()
        self.progress.reloads += 1
        self._told = loaded.sequence
        self._signal()

    # --- following ---

    def heard(self) -> None:
        """The server was heard, and `writer` is in step with it."""
        if self.writer is not None:
            self._beat(self.writer)

    def applied(self) -> None:
        """Something was written to `writer`: whoever waits for changes looks."""
        if self.writer is not None and self.writer.sequence != self._told:
            self.progress.changes += self.writer.sequence - self._told
            self._told = self.writer.sequence
            self._signal()

    # --- for those who ask ---

    @property
    def sequence(self) -> int:
        """The number of the last change; 0 without a file."""
        return 0 if self.writer is None else self.writer.sequence

    def changes_since(self, sequence: int, limit: int) -> list[Change] | None:
        """At most `limit` changes after `sequence`; None: it is too old, or belongs to another copy."""
        return None if self.writer is None else self.writer.changes_since(sequence, limit)

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; the one after that has another event."""
        return self._changed

    def status(self) -> MirrorStatus:
        noted, writer = self.progress, self.writer
        return MirrorStatus(
            state=noted.state,
            server=noted.server,
            users=writer.users if writer else 0,
            entries=writer.entries if writer else 0,
            file_bytes=writer.file_bytes if writer else 0,
            generation=self._generations.number(writer.path) if writer else 0,
            last_contact=noted.last_contact,
            lag_seconds=time.monotonic() - self._in_step,
            changes=noted.changes,
            received=noted.received,
            reloads=noted.reloads,
            reconnects=noted.reconnects,
            purges_refused=noted.purges_refused,
            unusable=writer.unusable if writer else 0,
            message=noted.message,
        )

    # --- details ---

    def _beat(self, writer: Writer) -> None:
        self._in_step = time.monotonic()
        self.progress.last_contact = time.time()
        with writer.transaction() as change:
            change.heartbeat(self._in_step, self.progress.last_contact)

    def _refuse_loss(self, loaded: Writer) -> None:
        before = self.writer.users if self.writer is not None else 0
        lost = before - loaded.users
        if lost > math.ceil(before * self.purge_limit / 100):
            raise PurgeRefused(lost, before)

    def _signal(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
