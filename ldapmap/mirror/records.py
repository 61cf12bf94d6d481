"""Keys and values of the `users` table, which every login reads.

A key is one character for the base (1 + its number) and a prepared name, in UTF-8. A value is a record (an entry's six
fields with NULs between them; its first byte is printable), an alias (ALIAS and the key of the record), or AMBIGUOUS.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldapmap.entries import Entry

ALIAS, AMBIGUOUS = b"\x01", b"\x02"
LONGEST_KEY = 511
"""Bytes; LMDB's limit. A longer name is not mirrored, so it is searched for."""


def key_of(number: int, name: str) -> bytes:
    """The key of a prepared name below the base of this number."""
    return (chr(1 + number) + name).encode()


def keys_of(number: int, names: Iterable[str]) -> list[bytes]:
    """The keys of those of the names that can be typed at all and are not too long."""
    base = chr(1 + number)
    return [key for name in names if name and "\0" not in name and len(key := (base + name).encode()) <= LONGEST_KEY]


def name_of(key: bytes) -> str:
    return key.decode()[1:]


def record_of(entry: Entry) -> bytes:
    """No field may hold a NUL, and `user` begins with a printable character."""
    return "\0".join(entry).encode()


def entry_of(record: bytes) -> Entry:
    return Entry._make(record.decode().split("\0"))
