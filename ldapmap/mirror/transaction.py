"""Changes to the mirror's file that are made together (store.py has its tables)."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

import lmdb

from ldapmap.entries import Entry
from ldapmap.mirror import changes, meta
from ldapmap.mirror.changes import Change
from ldapmap.mirror.environment import Environment
from ldapmap.mirror.records import ALIAS, AMBIGUOUS, entry_of, name_of, record_of

CHUNK = 50_000
"""Entries of a load in memory, about 1 KB each."""


class Outcome(Enum):
    """What a `put` has changed."""

    UNCHANGED = "unchanged"
    PASSWORD = "password"  # nothing but what tells a change of the password  # noqa: S105
    ROUTE = "route"  # the record or the names
    NEW = "new"


class Put(NamedTuple):
    """`former` is the user as stored before; None: there was none, or another entry had taken its name.

    `found`: readers find the user by the entry's own name, which no other entry has.
    """

    outcome: Outcome
    former: Entry | None
    found: bool


_LOADED, _UNCHANGED = Put(Outcome.NEW, None, True), Put(Outcome.UNCHANGED, None, True)
_SEPARATOR = b"\0\0"
"""Between the keys of an entry and what tells a change of its password: no key is empty or has a NUL in it."""
ID_SIZE = 16
Row = tuple[bytes, bytes]
"""An entry as it is stored: its row in `entries`, and its record."""
_NO_ROUTE: Row = (b"", b"")


class Transaction:
    """Changes that are made together. An id begins with one byte for the base, if it is that of a user's entry."""

    def __init__(
        self,
        environment: Environment,
        inner: lmdb.Transaction[bytes],
        pending: dict[bytes, Row] | None,
        sequence: int,
        unusable: int,
    ) -> None:
        self._environment = environment
        self._users, self._entries = environment.users, environment.entries
        self._inner = inner
        self._pending = pending
        """Entries of the load that are not written yet; None: this is no load."""
        self._sequence_before, self._unusable_before = sequence, unusable
        self.sequence, self.unusable = sequence, unusable

    @property
    def loading(self) -> bool:
        return self._pending is not None

    # --- users ---

    def put(self, entry_id: bytes, keys: Sequence[bytes], entry: Entry, password_changed: bytes) -> Put:
        """Store a user with the keys of all his names, his own first; there is at least one (records.py)."""
        row = b"\0".join(keys)
        if password_changed:
            row += _SEPARATOR + password_changed
        return self._put(entry_id, (row, record_of(entry)))

    def load(self, entry_id: bytes, key: bytes, record: bytes) -> None:
        """`put` for a load: a user with one name only, and the record already made (`record_of`)."""
        self._put(entry_id, (key, record))

    def put_unusable(self, entry_id: bytes) -> Put:
        """The directory has this entry, but it has no route: only its id is kept, so that it is counted."""
        return self._put(entry_id, _NO_ROUTE)

    def delete(self, entry_id: bytes) -> Entry | None:
        """The user who was stored; None: there was none. Without `shard`, only the name is known, as it is prepared."""
        self.write_pending()
        row = self._inner.pop(entry_id, self._entries)
        if row is None:
            return None
        keys, record = self._stored(row)
        self._remove(keys)
        self.unusable -= not row
        if record:
            return entry_of(record)
        return Entry(name_of(keys[0]), "", "") if keys else None

    def ids(self, prefix: bytes = b"") -> Iterator[bytes]:
        """The ids of all entries that begin with `prefix`. The transaction changes nothing meanwhile."""
        self.write_pending()
        return _keys_from(self._inner, self._entries, prefix)

    def write_pending(self) -> None:
        """Write what a load has collected."""
        if not self._pending:
            return
        rows = self._pending
        if not self._appended(rows):
            for entry_id, row in rows.items():
                self._write(entry_id, *row)
        rows.clear()

    # --- shards ---

    def shard_owner(self, name: str) -> bytes | None:
        """The id of the entry that says what this shard is."""
        value = self._inner.get(name.encode(), None, self._environment.shards)
        return None if value is None else value[:ID_SIZE]

    def put_shard(self, entry_id: bytes, name: str, backends: str) -> list[str]:
        """Store a shard's JSON, unless another entry owns the name. Returns the names of shards that changed by it."""
        value = entry_id + backends.encode()
        before = self._inner.get(name.encode(), None, self._environment.shards)
        if before == value or (before is not None and before[:ID_SIZE] != entry_id):
            return []
        former = self.delete_shard(entry_id)
        self._inner.put(name.encode(), value, db=self._environment.shards)
        self._inner.put(entry_id, name.encode(), db=self._environment.shard_entries)
        return [name] if former in (None, name) else [str(former), name]

    def delete_shard(self, entry_id: bytes) -> str | None:
        """The name of the shard that is gone; None: the entry owned none."""
        name = self._inner.pop(entry_id, self._environment.shard_entries)
        if name is None:
            return None
        self._inner.delete(name, db=self._environment.shards)
        return name.decode()

    def shard_ids(self) -> Iterator[bytes]:
        """The ids of all entries that own a shard. The transaction changes nothing meanwhile."""
        return _keys_from(self._inner, self._environment.shard_entries, b"")

    # --- the file itself ---

    def log(self, user: str, shard: str, preferred: str, was_shard: str, was_preferred: str) -> None:
        """Tell those who follow the changes about a user (see Change)."""
        self._log(Change(self.sequence + 1, user, shard, preferred, was_shard, was_preferred))

    def log_shard(self, name: str) -> None:
        """Tell them about a shard."""
        self._log(Change(self.sequence + 1, "", "", "", "", "", name))

    def cookie(self, name: str) -> bytes:
        return self._inner.get(meta.cookie_key(name), b"", self._environment.meta)

    def set_cookie(self, name: str, cookie: bytes) -> None:
        """Keep the cookie; an empty one is as good as none."""
        self.set_meta(meta.cookie_key(name), cookie)

    def heartbeat(self, monotonic: float, wall: float) -> None:
        """The directory was heard just now: `time.monotonic()`, and seconds since 1970."""
        meta.set_heartbeat(self._inner, self._environment.meta, monotonic, wall)
        self._environment.lmdb.reader_check()  # what a killed reader had open is not kept for ever

    def set_meta(self, name: bytes, value: bytes) -> None:
        self._inner.put(name, value, db=self._environment.meta)

    def finish(self) -> None:
        """What belongs to the end of every transaction."""
        if self.sequence != self._sequence_before:
            self.set_meta(meta.SEQUENCE, b"%d" % self.sequence)
            self._shorten_log()
        if self.unusable != self._unusable_before:
            self.set_meta(meta.UNUSABLE, b"%d" % self.unusable)

    # --- details ---

    def _put(self, entry_id: bytes, row: Row) -> Put:
        pending = self._pending
        if pending is None:
            return self._write(entry_id, *row)
        pending[entry_id] = row
        if len(pending) >= CHUNK:
            self.write_pending()
        return _LOADED

    def _write(self, entry_id: bytes, row: bytes, record: bytes) -> Put:
        former_row = self._inner.get(entry_id, None, self._entries)
        former_keys, former = self._stored(former_row or b"")
        if row == former_row and record == former:
            return _UNCHANGED
        if row != former_row:
            self._inner.put(entry_id, row, db=self._entries)
            self.unusable += (not row) - (former_row == b"")
        keys = _keys_in(row)
        found = bool(former)
        outcome = Outcome.ROUTE if former_keys else Outcome.NEW
        if keys != former_keys or not keys:
            self._remove(former_keys)
            found = self._add(keys, record)
        elif record == former:
            outcome = Outcome.PASSWORD
        elif former:
            self._inner.put(keys[0], record, db=self._users)
        return Put(outcome, entry_of(former) if former else None, found)

    def _stored(self, row: bytes) -> tuple[list[bytes], bytes]:
        """The keys in a row of `entries`, and the record that belongs to it; empty if another entry has its name."""
        keys = _keys_in(row)
        record = self._inner.get(keys[0], AMBIGUOUS, self._users) if keys else b""
        return keys, b"" if record == AMBIGUOUS else record

    def _remove(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            if self._inner.get(key, AMBIGUOUS, self._users) != AMBIGUOUS:
                self._inner.delete(key, db=self._users)

    def _add(self, keys: Sequence[bytes], record: bytes) -> bool:
        """Store the record under the first key, aliases under the others. True: the first is its alone."""
        values = [ALIAS + keys[0] if number else record for number in range(len(keys))]
        alone = [self._inner.put(*row, True, False, db=self._users) for row in zip(keys, values, strict=True)]
        for key in itertools.compress(keys, map(operator.not_, alone)):
            self._inner.put(key, AMBIGUOUS, db=self._users)
        return alone[:1] == [True]

    def _appended(self, rows: dict[bytes, Row]) -> bool:
        """Write rows of which neither ids nor names are there yet; False: some are, nothing is written."""
        entries = [(entry_id, row) for entry_id, (row, _) in rows.items()]
        users: list[tuple[bytes, bytes]] = []
        for row, record in rows.values():
            first, *others = _keys_in(row) or (b"",)
            if first:
                users.append((first, record))
            users += [(key, ALIAS + first) for key in others]
        inner = self._environment.lmdb.begin(None, self._inner, True)
        try:
            whole = _all_new(inner, self._entries, entries) and _all_new(inner, self._users, users)
        except lmdb.Error:
            inner.abort()
            raise
        if not whole:
            inner.abort()
            return False
        inner.commit()
        self.unusable += sum(not row for _, row in entries)
        return True

    def _log(self, change: Change) -> None:
        if not self.loading:
            self.sequence = change.sequence
            self._inner.put(changes.key_of(change.sequence), change.value(), db=self._environment.changes)

    def _shorten_log(self) -> None:
        cursor = self._inner.cursor(self._environment.changes)
        excess = self._inner.stat(self._environment.changes)["entries"] - changes.LIMIT
        if excess > 0 and cursor.first():
            for _ in range(excess):
                cursor.delete()


def _keys_in(row: bytes) -> list[bytes]:
    """The keys of an entry's names, its own first."""
    if b"\0" in row:
        return row.partition(_SEPARATOR)[0].split(b"\0")
    return [row] if row else []


def _all_new(transaction: lmdb.Transaction[bytes], table: lmdb._Database, rows: list[tuple[bytes, bytes]]) -> bool:
    rows.sort()
    _, added = transaction.cursor(table).putmulti(rows, True, False)
    return added == len(rows)


def _keys_from(transaction: lmdb.Transaction[bytes], table: lmdb._Database, prefix: bytes) -> Iterator[bytes]:
    cursor = transaction.cursor(table)
    if cursor.set_range(prefix) if prefix else cursor.first():
        yield from itertools.takewhile(lambda key: key.startswith(prefix), cursor.iternext(True, False))
