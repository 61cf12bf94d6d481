"""What the entries below a base become in the store: users, or shards with their backends."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from ldapmap.domains import Domains
from ldapmap.entries import Entry, EntryReader
from ldapmap.errors import Misconfigured
from ldapmap.mirror.backends import shard_json
from ldapmap.mirror.errors import PurgeRefused
from ldapmap.mirror.records import LONGEST_KEY, key_of, keys_of
from ldapmap.mirror.transaction import Outcome, Transaction
from ldapmap.settings import DirectorySettings, ShardEntrySettings
from ldapmap.values import Values, text_of

_NOBODY = Entry("", "", "")


class Contents(Protocol):
    """Ids are the 16 bytes of an entryUUID or objectGUID; `dn` is as received."""

    unusable_reason: str
    """Why the entry found unusable last is so; empty: none was."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The attributes to ask for."""

    def put(self, change: Transaction, entry_id: bytes, dn: bytes, values: Values) -> None:
        """The entry is like this now."""

    def delete(self, change: Transaction, entry_id: bytes) -> None:
        """The entry is gone, if it was there at all."""

    def ids(self, change: Transaction) -> Iterator[bytes]:
        """All entries known. Nothing is changed meanwhile."""


class Users:
    """The users below the base of this number (`Place.number`).

    `forget` is called with the name of everybody whose password may have changed, with every suffix by which the user
    may have logged in: when an entry is gone or its record differs, and at any message about it if the directory does
    not tell when a password was changed, else when that differs. Never in a load: who loads, forgets everybody.
    """

    def __init__(self, settings: DirectorySettings, number: int, *, forget: Callable[[str], None]) -> None:
        self.unusable_reason = ""
        self._reader = EntryReader(settings)
        self._number = number
        self._prefix = bytes([1 + number])
        self._key_prefix = key_of(number, "")
        self._forget = forget
        self._told_passwords = bool(settings.attributes.password_changed)
        places = Domains(settings).places
        self._suffixes = sorted({place.suffix for place in places if place.number == number})

    @property
    def wanted(self) -> tuple[str, ...]:
        return self._reader.wanted_by_mirror

    def put(self, change: Transaction, entry_id: bytes, dn: bytes, values: Values) -> None:
        reader, entry_id = self._reader, self._prefix + entry_id
        if change.loading and (plain := reader.plain(dn, values)):
            key = self._key_prefix + plain[0]
            if len(key) <= LONGEST_KEY:
                change.load(entry_id, key, plain[1])
                return
        try:
            entry = reader.read(dn.decode(), values)
            keys = keys_of(self._number, reader.names(values))
        except (Misconfigured, UnicodeDecodeError) as error:
            self._unusable(change, entry_id, str(error))
            return
        if not keys or "\0" in entry.dn:
            self._unusable(change, entry_id, f"{entry.dn!r} has no name that could be typed, or a NUL in its own")
            return
        put = change.put(entry_id, keys, entry, reader.password_changed(values))
        if not change.loading:
            self._tell(change, put.outcome, put.former or _NOBODY, entry if put.found else _NOBODY)
            if put.outcome is not Outcome.UNCHANGED or not self._told_passwords:
                self._drop(entry.user)

    def delete(self, change: Transaction, entry_id: bytes) -> None:
        former = change.delete(self._prefix + entry_id)
        if former is not None:
            self._gone(change, former)

    def ids(self, change: Transaction) -> Iterator[bytes]:
        return (entry_id[1:] for entry_id in change.ids(self._prefix))

    def _unusable(self, change: Transaction, entry_id: bytes, reason: str) -> None:
        self.unusable_reason = reason
        former = change.put_unusable(entry_id).former
        if former is not None:
            self._gone(change, former)

    def _gone(self, change: Transaction, former: Entry) -> None:
        if former.shard:
            self._log(change, former.user, _NOBODY, former)
        self._drop(former.user)

    def _tell(self, change: Transaction, outcome: Outcome, former: Entry, entry: Entry) -> None:
        """Log the route, if it differs; a name that another entry has, too, has none."""
        if outcome is Outcome.UNCHANGED or outcome is Outcome.PASSWORD:
            return
        if former.user and former.user != entry.user:
            self._gone(change, former)
            former = _NOBODY
        if entry.user and (former.shard, former.preferred) != (entry.shard, entry.preferred):
            self._log(change, entry.user, entry, former)

    def _log(self, change: Transaction, user: str, entry: Entry, former: Entry) -> None:
        for suffix in self._suffixes:
            change.log(user + suffix, entry.shard, entry.preferred, former.shard, former.preferred)

    def _drop(self, user: str) -> None:
        for suffix in self._suffixes:
            self._forget(user + suffix)


class Shards:
    """The entries of `[directory.shards]`. What cannot be understood is told in `unusable_reason`; the shard stays as
    it was, because a slip in one value must not take the servers from all users of a shard."""

    def __init__(self, settings: ShardEntrySettings) -> None:
        self.unusable_reason = ""
        self._name, self._backends = settings.name.lower().encode(), settings.backends.lower().encode()
        self.wanted = (settings.name, settings.backends)

    def put(self, change: Transaction, entry_id: bytes, dn: bytes, values: Values) -> None:
        where = dn.decode("utf-8", "replace")
        try:
            name, backends = self._read(where, values)
        except (Misconfigured, ValueError) as error:
            self.unusable_reason = f"{where!r}: {error}"
            return
        if change.shard_owner(name) not in (None, entry_id):
            self.unusable_reason = f"{where!r}: another entry says what shard {name!r} is"
            self.delete(change, entry_id)
            return
        for changed in change.put_shard(entry_id, name, backends):
            change.log_shard(changed)

    def delete(self, change: Transaction, entry_id: bytes) -> None:
        name = change.delete_shard(entry_id)
        if name is not None:
            change.log_shard(name)

    def ids(self, change: Transaction) -> Iterator[bytes]:
        return change.shard_ids()

    def _read(self, where: str, values: Values) -> tuple[str, str]:
        """Name and JSON; the smallest of several names."""
        names = sorted(text_of(self._name, where, value) for value in values.get(self._name, ()))
        name = names[0] if names else ""
        if len(name.encode()) > _LONGEST_NAME:
            raise ValueError("the name of a shard is too long")
        return name, shard_json(name, [text_of(self._backends, where, each) for each in values.get(self._backends, ())])


_LONGEST_NAME = 255


def purge(contents: Contents, change: Transaction, named: Collection[bytes], limit: float) -> int:
    """Remove all entries but those in `named`; returns how many.

    Raises PurgeRefused, with nothing removed, if those are more than `limit` percent, rounded up, of what is there.
    """
    known = 0
    gone = []
    for entry_id in contents.ids(change):
        known += 1
        if entry_id not in named:
            gone.append(entry_id)
    if len(gone) > math.ceil(known * limit / 100):
        raise PurgeRefused(len(gone), known)
    for entry_id in gone:
        contents.delete(change, entry_id)
    return len(gone)
