"""A directory in a dictionary that answers sync searches as OpenLDAP does, and what people look like in it."""

from __future__ import annotations

from collections.abc import Iterator

from ldapmap.mirror.syncrepl import (
    ADD,
    DELETE,
    MODIFY,
    PRESENT,
    IdSet,
    RefreshDelete,
    RefreshPresent,
    SyncEntry,
    SyncEvent,
)
from ldapmap.settings import Attributes, DirectorySettings

BASE = "ou=people,dc=example"
SETTINGS = DirectorySettings(
    kind="ldap", servers=("ldap://127.0.0.1",), base=BASE, attributes=Attributes(aliases=("mail",))
)

Person = tuple[tuple[str, ...], str]
"""Names, the own one first, and shard; without a shard there is no route."""


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def dn_of(number: int) -> bytes:
    return f"cn={number},{BASE}".encode()


def values_of(person: Person) -> dict[bytes, list[bytes]]:
    names, shard = person
    values = {b"uid": [names[0].encode()], b"mail": [name.encode() for name in names[1:]]}
    return {**values, b"mailhost": [shard.encode()]} if shard else values


def added(number: int, person: Person, state: int = ADD, cookie: bytes | None = None) -> SyncEntry:
    return SyncEntry(1, state, id_of(number), cookie, dn_of(number), values_of(person))


def deleted(number: int, cookie: bytes | None = None) -> SyncEntry:
    return SyncEntry(1, DELETE, id_of(number), cookie, dn_of(number), {})


def cookie_of(time: int) -> bytes:
    return b"rid=000,csn=%014d.000000Z#000000#000#000000" % time


class Provider:
    """Entries by number. `log_from` is how far back the session log reaches: what was deleted before is forgotten."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.time = 1
        self.log_from = 1
        self._changed: dict[int, int] = {}
        self._deleted: dict[int, int] = {}

    def put(self, number: int, person: Person) -> SyncEntry:
        """Add or change an entry; what those who are following hear."""
        self.time += 1
        state = MODIFY if number in self.people else ADD
        self.people[number] = person
        self._changed[number] = self.time
        self._deleted.pop(number, None)
        return added(number, person, state, cookie_of(self.time))

    def delete(self, number: int) -> SyncEntry:
        self.time += 1
        del self.people[number], self._changed[number]
        self._deleted[number] = self.time
        return deleted(number, cookie_of(self.time))

    def lose_log(self) -> None:
        self.log_from = self.time
        self._deleted.clear()

    def refresh(self, cookie: bytes, *, done_by_present: bool = True) -> Iterator[SyncEvent]:
        """The refresh stage for someone who has this cookie."""
        since = int(cookie.partition(b"csn=")[2][:14] or b"0")
        yield from (added(number, self.people[number]) for number, time in self._changed.items() if time > since)
        if not cookie:
            yield RefreshDelete(1, cookie_of(self.time), True)
        elif since < self.log_from:
            yield from self._present(since, done_by_present)
        else:
            gone = [id_of(number) for number, time in self._deleted.items() if time > since]
            if gone:
                yield IdSet(1, None, True, gone)
            yield RefreshDelete(1, cookie_of(self.time) if since < self.time else None, True)

    def _present(self, since: int, done_by_present: bool) -> Iterator[SyncEvent]:
        unchanged = [number for number, time in self._changed.items() if time <= since]
        if unchanged:
            yield SyncEntry(1, PRESENT, id_of(unchanged[0]), None, dn_of(unchanged[0]), {})
            yield IdSet(1, None, False, [id_of(number) for number in unchanged[1:]])
        yield RefreshPresent(1, cookie_of(self.time) if done_by_present else None, done_by_present)
        if not done_by_present:
            yield RefreshDelete(1, cookie_of(self.time), True)
