"""The mirror's file as its readers see it. A lookup is one read transaction with one `get`, two for an alias."""

from __future__ import annotations

from pathlib import Path

import lmdb

from ldapmap.entries import Entry
from ldapmap.mirror import meta
from ldapmap.mirror.environment import open_environment
from ldapmap.mirror.meta import Heartbeat
from ldapmap.mirror.records import LONGEST_KEY
from ldapmap.mirror.store import shards_in

_ALIAS = 1
_PRINTABLE = 0x20


class Reader:
    """Opens a file that was loaded wholly with this `fingerprint`, else raises Unusable.

    `broken` is True, for good, when LMDB has found the file damaged: then nobody is found any more.
    """

    def __init__(self, path: Path, *, fingerprint: bytes) -> None:
        self.broken = False
        self._environment = open_environment(path)
        try:
            with self._environment.reading() as transaction:
                meta.refuse(transaction, self._environment.meta, fingerprint)
        except BaseException:
            self.close()
            raise

    def find(self, key: bytes) -> Entry | None:
        """The user of this key (records.py); None: nobody, or not one only."""
        if len(key) > LONGEST_KEY:
            return None
        environment = self._environment
        try:
            transaction = environment.begin(environment.users)
        except lmdb.Error as error:
            return self._again(key, error)
        try:
            value = transaction.get(key)
            if value is not None and value[0] == _ALIAS:
                value = transaction.get(value[1:])
            if value is None or value[0] < _PRINTABLE:
                return None
            return _entry(Entry, value.decode().split("\0"))
        except (lmdb.Error, ValueError):
            self.broken = True
            return None
        finally:
            transaction.abort()

    def heartbeat(self) -> Heartbeat:
        with self._environment.reading() as transaction:
            return meta.heartbeat(transaction, self._environment.meta)

    def shards(self) -> dict[str, str]:
        """What the directory says about shards: JSON by name."""
        with self._environment.reading() as transaction:
            return shards_in(transaction, self._environment)

    def close(self) -> None:
        self._environment.release()

    def _again(self, key: bytes, error: lmdb.Error) -> Entry | None:
        if not isinstance(error, lmdb.MapResizedError):
            self.broken = True
            return None
        self._environment.adopt_size()
        return self.find(key)


_entry = tuple.__new__
