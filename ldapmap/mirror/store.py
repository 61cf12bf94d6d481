"""The mirror's file as its one writer sees it: users by name, their ids, shards, cookies and the log of changes.

Tables: `users` (records.py), `entries` (id: the keys of its names, and what tells a change of the password), `shards`
(name: JSON), `shard_entries` (id: name), `changes` (sequence: changes.py), `meta`. The ids of users begin with one byte
for the base, because bases may be nested and then the same entry comes twice.

A name that two entries have is ambiguous and stays so until the next load: readers find nobody, so it is searched for.

A load goes into a file that nobody reads yet (`mirror-1.mdb.load`), so nothing is compared and nothing is logged.
Entries are collected and written in sorted chunks of `CHUNK`, which is what bounds the memory. That leaves the pages
half empty; so in the end everything is copied in order into the file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from ldapmap.mirror import changes, meta
from ldapmap.mirror.boot import mark, unmark
from ldapmap.mirror.changes import Change
from ldapmap.mirror.environment import MAP_SIZE, Environment, lock_of, open_environment, refuse_damaged
from ldapmap.mirror.errors import Full
from ldapmap.mirror.transaction import ID_SIZE, Row, Transaction


class Writer:
    """Creates the file, or opens one that was loaded wholly with this `fingerprint`, else raises Unusable.

    A new file is `loading` until `finish_load`. `sequence` is that of the last change; new files begin at the
    microseconds since 1970, so that a number from another file is recognised. One process writes, from one thread.
    """

    def __init__(self, path: Path, *, fingerprint: bytes, map_size: int = MAP_SIZE) -> None:
        self.path = path
        self.loading = not path.exists()
        self.sequence = self.unusable = 0
        self._pending: dict[bytes, Row] = {}
        if self.loading:
            remove_load(path)
        else:
            refuse_damaged(path)
        mark(path)
        opened = load_of(path) if self.loading else path
        self._environment = open_environment(opened, writable=True, map_size=map_size)
        try:
            self._begin(fingerprint) if self.loading else self._refuse(fingerprint)
            self._resume()
        except BaseException:
            self.close(clean=False)
            raise

    @property
    def entries(self) -> int:
        """Entries known, with a route or unusable."""
        with self._environment.reading() as transaction:
            return transaction.stat(self._environment.entries)["entries"] + len(self._pending)

    @property
    def users(self) -> int:
        return self.entries - self.unusable

    @property
    def file_bytes(self) -> int:
        return self._environment.file_bytes

    def cookie(self, name: str) -> bytes:
        """The cookie kept under this name; empty if none is."""
        with self._environment.reading() as transaction:
            return transaction.get(meta.cookie_key(name), b"", self._environment.meta)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All or nothing, except in a load, of which nothing is of use unless all is.

        Raises Full, and has then doubled the room; or Unusable, when LMDB cannot write (no space) or finds damage.
        """
        with self._environment.translated():
            inner = self._environment.lmdb.begin(write=True)
            pending = self._pending if self.loading else None
            change = Transaction(self._environment, inner, pending, self.sequence, self.unusable)
            try:
                yield change
                change.finish()
                inner.commit()
            except lmdb.MapFullError:
                inner.abort()
                self._environment.double()
                raise Full(f"{self.path}: no room for the changes; there is more now") from None
            except BaseException:
                inner.abort()
                raise
        self.sequence, self.unusable = change.sequence, change.unusable
        self._environment.fill_up()

    def finish_load(self) -> None:
        """Everything is there: from now on the file is of use to readers, and changes are logged. Raises Unusable."""
        with self.transaction() as change:
            change.write_pending()
        load = self._environment
        whole = open_environment(self.path, writable=True, map_size=load.map_size)
        self._environment, self.loading = whole, False
        try:
            with whole.translated():
                load.copy_to(whole)
        finally:
            load.release()
        remove_load(self.path)
        with self.transaction() as change:
            change.set_meta(meta.LOADED, b"1")

    def changes_since(self, sequence: int, limit: int) -> list[Change] | None:
        """At most `limit` changes after `sequence`; None when that is too old or not of this file."""
        environment = self._environment
        with environment.reading() as transaction:
            cursor = transaction.cursor(environment.changes)
            oldest = changes.number_of(cursor.key()) if cursor.first() else self.sequence + 1
            if not oldest - 1 <= sequence <= self.sequence:
                return None
            if not cursor.set_range(changes.key_of(sequence + 1)):
                return []
            return [changes.change_of(key, value) for (key, value), _ in zip(cursor, range(limit), strict=False)]

    def shards(self) -> dict[str, str]:
        """What the directory says about shards: JSON by name."""
        with self._environment.reading() as transaction:
            return shards_in(transaction, self._environment)

    def close(self, *, clean: bool) -> None:
        """With `clean` the file is flushed first, so that it can be used again even if the power fails."""
        try:
            if clean and not self.loading:
                with self._environment.translated():
                    self._environment.lmdb.sync(True)
                unmark(self.path)
        finally:
            self._environment.release()

    # --- details ---

    def _begin(self, fingerprint: bytes) -> None:
        with self._environment.lmdb.begin(write=True) as transaction:
            meta.begin(transaction, self._environment.meta, fingerprint)

    def _resume(self) -> None:
        environment = self._environment
        with environment.reading() as transaction:
            self.unusable = meta.number(transaction, environment.meta, meta.UNUSABLE)
            self.sequence = meta.number(transaction, environment.meta, meta.SEQUENCE)

    def _refuse(self, fingerprint: bytes) -> None:
        with self._environment.reading() as transaction:
            meta.refuse(transaction, self._environment.meta, fingerprint)


def load_of(path: Path) -> Path:
    """The file of the load that will become the file at `path`."""
    return path.with_name(path.name + ".load")


def remove_load(path: Path) -> None:
    for each in (load_of(path), lock_of(load_of(path))):
        each.unlink(missing_ok=True)


def shards_in(transaction: lmdb.Transaction[bytes], environment: Environment) -> dict[str, str]:
    """The JSON of every shard by its name."""
    return {name.decode(): value[ID_SIZE:].decode() for name, value in transaction.cursor(environment.shards)}
