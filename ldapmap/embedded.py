"""The directory in an LDIF file: for trials, tests and sites with a handful of users."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator

from ldapmap.client.filters import parse_filter
from ldapmap.directory import describe_name
from ldapmap.domains import Domains
from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import AmbiguousUser, Misconfigured, UnknownUser, WrongPassword
from ldapmap.ldif import LdifFault, Record, read_ldif
from ldapmap.names import canonical, prepared
from ldapmap.passwords import Stored, UnusablePassword, read_stored
from ldapmap.settings import DirectorySettings
from ldapmap.status import DirectoryStatus

_COMMA = re.compile(r"(?<!\\),")


class LdifDirectory:
    """A `Directory` in a file, read once when it is made; the same rules as on a server hold.

    Raises OSError when the file cannot be read, LdifFault when it is not LDIF, and FilterError for a filter that only a
    server can evaluate. Names are compared without regard to case and compatibility forms, as `caseIgnoreMatch` does.
    """

    def __init__(self, settings: DirectorySettings) -> None:
        if settings.file is None:
            raise ValueError('kind = "ldif" needs a file')
        self._settings = settings
        self._reader = EntryReader(settings)
        self._domains = Domains(settings)
        self._by_dn = {record.dn: record for record in _users(settings, read_ldif(settings.file.read_bytes()))}
        self._by_name: dict[tuple[int, str], list[Record]] = {}
        for number, base in enumerate(self._domains.bases):
            for record in self._by_dn.values():
                if is_below(record.dn, base, settings.scope):
                    for name in self._reader.names(record.attributes):
                        self._by_name.setdefault((number, name), []).append(record)

    @property
    def healthy(self) -> bool:
        return True

    @property
    def records(self) -> list[Record]:
        """The users' entries, in the order of the file."""
        return list(self._by_dn.values())

    async def start(self) -> None:
        """Nothing to do: the file has been read."""

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        place, name = self._domains.place(canonical(login_name, self._settings.names))
        found = self._by_name.get((place.number, prepared(name)), [])
        if len(found) > 1:
            raise AmbiguousUser(f"{found[0].dn!r} and {found[1].dn!r} have the same name")
        if not found:
            raise UnknownUser("no entry has this name")
        return self._reader.read(found[0].dn, found[0].attributes).at(place)

    async def verify(self, entry: Entry, password: bytes) -> None:
        refuse_empty(entry, password)
        record = self._by_dn.get(entry.dn)
        if record is None:
            raise UnknownUser("no entry has this DN")
        stored, unusable = stored_passwords(record)
        for each in stored:
            if await _matches(each, password):
                return
        if unusable:
            raise Misconfigured(f"{entry.dn!r}: {unusable[0]}")
        raise WrongPassword("no stored password equals it" if stored else "the entry has no password")

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        return [*describe_name(login_name, self._settings, self._domains), ("file", str(self._settings.file))]

    def status(self) -> DirectoryStatus:
        return DirectoryStatus(servers=())

    async def close(self) -> None:
        """Nothing to do."""


def stored_passwords(record: Record) -> tuple[list[Stored], list[str]]:
    """The entry's passwords that can be compared, and what is wrong with the others."""
    stored, unusable = [], []
    for value in record.attributes.get(b"userpassword", ()):
        try:
            stored.append(read_stored(value))
        except UnusablePassword as error:
            unusable.append(str(error))
    return stored, unusable


async def _matches(stored: Stored, password: bytes) -> bool:
    if stored.slow:
        return await asyncio.to_thread(stored.matches, password)
    return stored.matches(password)


def _users(settings: DirectorySettings, records: Iterable[Record]) -> Iterator[Record]:
    condition, seen, bases = parse_filter(settings.filter), set[tuple[str, ...]](), Domains(settings).bases
    keys = [name.lower().encode() for name in (settings.attributes.user, *settings.attributes.aliases)]
    for record in records:
        parts = tuple(_parts(record.dn))
        if parts in seen:
            raise LdifFault(record.line, "the dn occurs twice")
        seen.add(parts)
        named = any(key in record.attributes for key in keys)
        reached = any(is_below(record.dn, base, settings.scope) for base in bases)
        if named and reached and condition.matches(record.attributes):
            yield record


def is_below(dn: str, base: str, scope: str = "subtree") -> bool:
    """Whether `base` and `scope` reach this entry; without a base every entry is reached."""
    if not base:
        return True
    parts, above = _parts(dn), _parts(base)
    depth = len(parts) - len(above)
    return parts[-len(above) :] == above and (depth == 1 if scope == "one" else depth >= 0)


def _parts(dn: str) -> list[str]:
    return [re.sub(r"\s*=\s*", "=", part.strip()).casefold() for part in _COMMA.split(dn)]
