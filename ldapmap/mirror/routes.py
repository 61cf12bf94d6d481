"""The mirror as a worker sees it."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from ldapmap.entries import Entry
from ldapmap.mirror.boot import boot_id
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.generations import current_of
from ldapmap.mirror.meta import NEVER
from ldapmap.mirror.reader import Reader
from ldapmap.mirror.records import key_of
from ldapmap.names import prepared

LOOK = 0.5
"""Seconds between two looks at whether there is a new generation and whether its server is heard."""


class Routes:
    """Finds users in the generation in use. It is opened by the process that uses it, not before a fork.

    `trust` is for how many seconds after its server was heard the mirror is `fresh`. Nothing here fails: a mirror that
    is missing, damaged or made with another `fingerprint` finds nobody and is neither `loaded` nor `fresh`.
    """

    def __init__(self, path: Path, *, fingerprint: bytes, trust: float) -> None:
        self._link = current_of(path)
        self._fingerprint = fingerprint
        self._trust = trust
        self._boot_id = boot_id()
        self._reader: Reader | None = None
        self._file: tuple[int, int] | None = None
        self._heard = NEVER
        self._next_look = 0.0

    def find(self, number: int, name: str) -> Entry | None:
        """The user of a canonical name below the base of this number; None: nobody, or more than one."""
        if monotonic() >= self._next_look:
            self.look()
        reader = self._reader
        return None if reader is None else reader.find(key_of(number, prepared(name)))

    @property
    def loaded(self) -> bool:
        """There is a file to find users in."""
        if monotonic() >= self._next_look:
            self.look()
        return self._reader is not None

    @property
    def fresh(self) -> bool:
        """And its follower has heard its server within `trust` seconds."""
        now = monotonic()
        if now >= self._next_look:
            self.look()
        heard = self._heard
        return self._reader is not None and heard.boot_id == self._boot_id and now - heard.monotonic <= self._trust

    @property
    def age(self) -> float:
        """Seconds since the server was heard, as of the last look; meaningful only while `loaded`."""
        return monotonic() - self._heard.monotonic

    def shards(self) -> dict[str, str]:
        """What the directory says about shards: JSON by name."""
        if not self.loaded or self._reader is None:
            return {}
        try:
            return self._reader.shards()
        except Unusable:
            self.close()
            return {}

    def look(self) -> None:
        """Look now: use the generation in use, if it can be, and learn when its server was heard."""
        self._next_look = monotonic() + LOOK
        try:
            self._follow_link()
            self._heard = NEVER if self._reader is None else self._reader.heartbeat()
        except (OSError, Unusable):
            self.close()

    def close(self) -> None:
        """Let the file go. The next look opens it again."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._file, self._heard = None, None, NEVER

    def _follow_link(self) -> None:
        status = self._link.stat()
        file = (status.st_dev, status.st_ino)
        if file == self._file and self._reader is not None and not self._reader.broken:
            return
        self.close()
        self._reader = Reader(self._link.parent / os.readlink(self._link), fingerprint=self._fingerprint)
        self._file = file
