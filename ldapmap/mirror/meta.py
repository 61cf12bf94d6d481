"""What a file says about itself (table `meta`): for which settings it was made, whether it is whole, and more."""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

import lmdb

from ldapmap.mirror.boot import boot_id
from ldapmap.mirror.errors import Unusable

FINGERPRINT, LOADED, UNUSABLE, SEQUENCE = b"fingerprint", b"loaded", b"unusable", b"sequence"
_HEARTBEAT = b"heartbeat"


class Heartbeat(NamedTuple):
    """When the directory was heard last: by the clock of the system with this boot id, and since 1970; seconds."""

    monotonic: float
    wall: float
    boot_id: str


NEVER = Heartbeat(0.0, 0.0, "")


def begin(transaction: lmdb.Transaction[bytes], meta: lmdb._Database, fingerprint: bytes) -> None:
    """A file that will be loaded for these settings. Its changes count from the microseconds since 1970."""
    transaction.put(FINGERPRINT, fingerprint, db=meta)
    transaction.put(SEQUENCE, b"%d" % (time.time_ns() // 1000), db=meta)


def refuse(transaction: lmdb.Transaction[bytes], meta: lmdb._Database, fingerprint: bytes) -> None:
    """Raise Unusable unless the file was made for these settings and is whole."""
    if not transaction.get(LOADED, b"", meta):
        raise Unusable("the file was never loaded wholly")
    if transaction.get(FINGERPRINT, b"", meta) != fingerprint:
        raise Unusable("the file was made with other settings")


def number(transaction: lmdb.Transaction[bytes], meta: lmdb._Database, name: bytes) -> int:
    return int(transaction.get(name, b"0", meta))


def cookie_key(name: str) -> bytes:
    """Names may be longer than LMDB's keys."""
    return b"cookie:" + hashlib.sha256(name.encode()).digest()


def heartbeat(transaction: lmdb.Transaction[bytes], meta: lmdb._Database) -> Heartbeat:
    value = transaction.get(_HEARTBEAT, b"", meta).decode()
    if not value:
        return NEVER
    monotonic, wall, boot = value.split(" ")
    return Heartbeat(float(monotonic), float(wall), boot)


def set_heartbeat(transaction: lmdb.Transaction[bytes], meta: lmdb._Database, monotonic: float, wall: float) -> None:
    transaction.put(_HEARTBEAT, f"{monotonic!r} {wall!r} {boot_id()}".encode(), db=meta)
