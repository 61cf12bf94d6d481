"""The directory in an LDIF file: for trials, tests and sites with a handful of users."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterable, Iterator

from ldapmap.directory import describe_name
from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import AmbiguousUser, Misconfigured, UnknownUser, WrongPassword
from ldapmap.filters import folded, parse_filter
from ldapmap.ldif import LdifFault, Record, read_ldif
from ldapmap.names import canonical
from ldapmap.passwords import Stored, UnusablePassword, read_stored
from ldapmap.settings import DirectorySettings

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
        self._reader = EntryReader(settings.attributes, lower_case=settings.names.lower_case)
        self._by_dn = {record.dn: record for record in _users(settings, read_ldif(settings.file.read_bytes()))}
        self._by_name: dict[str, list[Record]] = {}
        for record in self._by_dn.values():
            for name in {_prepared(value) for value in record.attributes[_user_attribute(settings)]}:
                self._by_name.setdefault(name, []).append(record)

    @property
    def healthy(self) -> bool:
        return True

    @property
    def records(self) -> list[Record]:
        """The users' entries, in the order of the file."""
        return list(self._by_dn.values())

    async def start(self) -> None:
        """Nothing to do: the file has been read."""

    async def find(self, login_name: str) -> Entry:
        name = canonical(login_name, self._settings.names)
        found = self._by_name.get(_prepared(name.encode()), [])
        if len(found) > 1:
            raise AmbiguousUser(f"{found[0].dn!r} and {found[1].dn!r} have the same name")
        if not found:
            raise UnknownUser("no entry has this name")
        return self._reader.read(found[0].dn, found[0].attributes)

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
        return [*describe_name(login_name, self._settings), ("file", str(self._settings.file))]

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
    condition, seen = parse_filter(settings.filter), set[tuple[str, ...]]()
    for record in records:
        parts = tuple(_parts(record.dn))
        if parts in seen:
            raise LdifFault(record.line, "the dn occurs twice")
        seen.add(parts)
        named = _user_attribute(settings) in record.attributes
        if named and _is_below(record.dn, settings) and condition.matches(record.attributes):
            yield record


def _user_attribute(settings: DirectorySettings) -> bytes:
    return settings.attributes.user.lower().encode()


def _is_below(dn: str, settings: DirectorySettings) -> bool:
    """Whether `base` and `scope` reach this entry; without a base every entry is reached."""
    if not settings.base:
        return True
    parts, base = _parts(dn), _parts(settings.base)
    depth = len(parts) - len(base)
    return parts[-len(base) :] == base and (depth == 1 if settings.scope == "one" else depth >= 0)


def _parts(dn: str) -> list[str]:
    return [re.sub(r"\s*=\s*", "=", part.strip()).casefold() for part in _COMMA.split(dn)]


def _prepared(value: bytes) -> str:
    """A name as it is compared: RFC 4518's preparation, but for the rarer of its mappings."""
    return unicodedata.normalize("NFKC", folded(value).strip())
