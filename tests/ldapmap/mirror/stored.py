"""Users for the mirror's file, and a look at what readers find in it."""

from __future__ import annotations

from ldapmap.entries import Entry
from ldapmap.mirror.reader import Reader
from ldapmap.mirror.records import keys_of
from ldapmap.mirror.store import Writer
from ldapmap.mirror.transaction import Put, Transaction

THESE = b"these settings"
NOBODY = Entry("", "", "")


def id_of(number: int) -> bytes:
    return b"\x01" + number.to_bytes(16, "big")


def entry_of(name: str, shard: str = "s1") -> Entry:
    return Entry(name, f"cn={name}", shard)


def put(change: Transaction, number: int, *names: str, shard: str = "s1", password: bytes = b"") -> Put:
    return change.put(id_of(number), keys_of(0, names), entry_of(names[0], shard), password)


def found(writer: Writer, *names: str) -> list[str]:
    """The users found by these names."""
    reader = Reader(writer.path, fingerprint=THESE)
    users = [reader.find(key) or NOBODY for key in keys_of(0, names)]
    reader.close()
    return [entry.user for entry in users]
