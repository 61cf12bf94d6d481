"""The files of a mirror's directory: `mirror-<n>.mdb`, one for every load, and `current`, which names the one in use.

A load goes into a file of its own, and `current`, a symbolic link, then changes from one name to the next in one step.
Readers keep an old file open until they have looked, so it may be removed at once.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from ldapmap.mirror.boot import mark_of
from ldapmap.mirror.environment import lock_of
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.store import remove_load

_NAME = re.compile(r"mirror-(\d{1,18})\.mdb(\.load)?(-lock|\.open)?")


def current_of(path: Path) -> Path:
    """The link to the file in use, in a mirror's directory."""
    return path / "current"


class Generations:
    """For the one process that writes: `acquire` comes first. `path` is made if it is missing, for its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None

    def acquire(self) -> None:
        """Lock the directory for this process, until `release` or its end. Raises Unusable when another has it."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Unusable(f"{self._path}: another process follows the directory for it") from None
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def current(self) -> Path | None:
        """The file that readers use; it may turn out to be unusable."""
        try:
            name = os.readlink(current_of(self._path))
        except OSError:
            return None
        return self._path / name if _NAME.fullmatch(name) else None

    def new(self) -> Path:
        """A name for the next load's file. What is there of other loads that came to nothing is removed."""
        used = self.current
        self._remove_others(used)
        last = 0 if used is None else self.number(used)
        return self._path / f"mirror-{last + 1}.mdb"

    @staticmethod
    def number(path: Path) -> int:
        """Which load it was."""
        named = _NAME.fullmatch(path.name)
        return int(named[1]) if named else 0

    def publish(self, path: Path) -> None:
        """Readers use `path` from now on; the files of other loads are removed."""
        link = self._path / "next"
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(current_of(self._path))
        self._remove_others(path)

    def discard(self, path: Path) -> None:
        """Remove the file of a load that came to nothing, or one that is unusable."""
        remove_load(path)
        for each in (path, lock_of(path), mark_of(path)):
            each.unlink(missing_ok=True)

    def _remove_others(self, used: Path | None) -> None:
        for each in self._path.iterdir():
            named = _NAME.fullmatch(each.name)
            if named and (used is None or int(named[1]) != self.number(used)):
                each.unlink(missing_ok=True)
