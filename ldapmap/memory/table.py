"""Digests of passwords that a server has accepted, for the time in which none answers.

Keeping anything made from passwords has to be argued for. What is kept here is of no use outside this memory:

1. The digests and the random key that makes them exist in one anonymous shared mapping and nowhere else: not on disk,
   not in a core dump (MADV_DONTDUMP), not in swap (mlock, where allowed). The key is read from the system's random
   source straight into the mapping, so that no heap has ever held it. When the daemon ends, all of it is gone.
2. The supervisor makes the mapping before the fork and never looks at it; the mirror's process uses it. Workers, which
   read what strangers send, unmap it first of all (`discard`). Processes that map it cannot be read or traced by others
   of the same user (PR_SET_DUMPABLE).
3. A slot is a keyed tag of the user's name, a time, a count and a keyed digest: not even names can be read from it.
4. The digest covers user, DN, time and password, and the slot is sealed. A slot that was half written when its process
   died is no slot; a digest cannot be moved to another user or given a new age.
5. A digest lives `age` seconds from the acceptance by a server, whatever happens, and no longer than `attempts` wrong
   passwords in a row. Only one that a server has accepted is remembered; nothing verified here is ever renewed.

A slow password hash would gain nothing: whoever can read the mapping has the key and sees passwords in clear as they
come. The mapping belongs to the supervisor, so the digests survive the death of the process that uses them.
"""

from __future__ import annotations

import hmac
import mmap
from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from ldapmap.memory.guarded import dumpable, guarded, lock
from ldapmap.meters import Remembered
from ldapmap.sections import RememberSettings

Octets = bytes | memoryview

ACCEPTED: Remembered = "accepted"
REFUSED: Remembered = "refused"
UNKNOWN: Remembered = "unknown"

SLOT = 64
WAYS = 16
"""Slots in which a user's digest may be; the oldest of them makes room."""

_KEY = 32
_HEADER = SLOT  # the key has a slot's room of its own
_SET = SLOT * WAYS
_EMPTY = bytes(SLOT)
_BODY = Struct("<12sdI32s")
_SEALED = Struct("<12sdI32s8s")
_FRAME = Struct("<dQQ")


class _Slot(NamedTuple):
    offset: int
    tag: bytes
    accepted: float
    tries: int
    digest: bytes


class RememberedTable:
    """A table of fixed size, used by one process at a time. Times are those of one clock of the machine, in seconds.

    Nothing it is given is kept or shown; `user`, `dn` and `password` may be views of memory that is wiped afterwards.
    """

    def __init__(self, memory: mmap.mmap, settings: RememberSettings, *, locked: bool, was_dumpable: bool) -> None:
        self.locked = locked
        self._memory = memory
        self._age = settings.age
        self._attempts = settings.attempts
        self._was_dumpable = was_dumpable
        self._view = memoryview(memory)
        self._key = self._view[:_KEY]
        self._sets = (len(memory) - _HEADER) // _SET

    @classmethod
    def create(cls, settings: RememberSettings) -> RememberedTable:
        """An empty table for `settings.size` users or a few more. From now on this process is not dumpable."""
        was_dumpable = dumpable(False)
        memory = guarded(_HEADER + -(-settings.size // WAYS) * _SET)
        table = cls(memory, settings, locked=lock(memory), was_dumpable=was_dumpable)
        table.forget_all()
        return table

    def remember(self, user: Octets, dn: Octets, password: Octets, accepted: float) -> None:
        """A server has accepted this password when it was asked at that time, unless a later answer is known."""
        start, tag = self._set_of(user)
        slot = self._slot(start, tag)
        if slot is not None and slot.accepted > accepted:
            return
        offset = self._oldest(start, accepted) if slot is None else slot.offset
        self._write(_Slot(offset, tag, accepted, 0, self._digest(user, dn, password, accepted)))

    def check(self, user: Octets, dn: Octets, password: Octets, now: float) -> Remembered:
        """Whether it is the remembered password; too many that are not make it forgotten."""
        slot = self._living(user, now)
        if slot is None:
            return UNKNOWN
        if not self._matches(slot, user, dn, password):
            self._write_or_clear(slot._replace(tries=slot.tries + 1))
            return REFUSED
        if slot.tries:
            self._write(slot._replace(tries=0))
        return ACCEPTED

    def disown(self, user: Octets, dn: Octets, password: Octets) -> None:
        """A server has refused this password: if it is the remembered one, forget it.

        A mere wrong guess must not: else whoever knows a name could make us forget its digest before every outage.
        """
        start, tag = self._set_of(user)
        slot = self._slot(start, tag)
        if slot is not None and self._matches(slot, user, dn, password):
            self._clear(slot.offset)

    def forget(self, user: Octets) -> None:
        """Whatever is remembered of the user is void."""
        start, tag = self._set_of(user)
        for offset in self._offsets(start, tag):
            self._clear(offset)

    def forget_all(self) -> None:
        """Void everything, by a new key."""
        with open("/dev/urandom", "rb", buffering=0) as source:
            if source.readinto(self._key) != _KEY:
                raise OSError("the system's random source gave too little")

    def discard(self) -> None:
        """Unmap the table in this process, which is then as dumpable as before; the table is not used here any more."""
        self._key.release()
        self._view.release()
        self._memory.close()
        dumpable(self._was_dumpable)

    def _living(self, user: Octets, now: float) -> _Slot | None:
        start, tag = self._set_of(user)
        slot = self._slot(start, tag)
        if slot is not None and not 0 <= now - slot.accepted <= self._age:
            self._clear(slot.offset)
            return None
        return slot

    def _slot(self, start: int, tag: bytes) -> _Slot | None:
        """The user's slot if it is whole."""
        for offset in self._offsets(start, tag):
            _, accepted, tries, digest, seal = _SEALED.unpack_from(self._view, offset)
            if hmac.compare_digest(seal, self._seal(self._view[offset : offset + _BODY.size])):
                return _Slot(offset, tag, accepted, tries, digest)
            self._clear(offset)
        return None

    def _offsets(self, start: int, tag: bytes) -> Iterator[int]:
        """Where this tag is, in the set that begins at `start`."""
        view, length = self._view, len(tag)
        return (offset for offset in range(start, start + _SET, SLOT) if view[offset : offset + length] == tag)

    def _oldest(self, start: int, near: float) -> int:
        """The slot to give up: one with an impossible time, an empty one (0), or the one accepted longest ago.

        Acceptances are not told in the order of their times, so those a little later than `near` are possible.
        """

        def accepted(offset: int) -> float:
            time: float = _BODY.unpack_from(self._view, offset)[1]
            return time if time <= near + self._age else float("-inf")

        return min(range(start, start + _SET, SLOT), key=accepted)

    def _write_or_clear(self, slot: _Slot) -> None:
        if slot.tries < self._attempts:
            self._write(slot)
        else:
            self._clear(slot.offset)

    def _write(self, slot: _Slot) -> None:
        body = _BODY.pack(*slot[1:])
        self._view[slot.offset : slot.offset + SLOT] = body + self._seal(body)

    def _clear(self, offset: int) -> None:
        self._view[offset : offset + SLOT] = _EMPTY

    def _matches(self, slot: _Slot, user: Octets, dn: Octets, password: Octets) -> bool:
        return hmac.compare_digest(slot.digest, self._digest(user, dn, password, slot.accepted))

    def _set_of(self, user: Octets) -> tuple[int, bytes]:
        """Where the user's set begins, and the user's tag."""
        hashed = blake2b(user, digest_size=16, key=self._key, person=b"user").digest()
        return _HEADER + int.from_bytes(hashed[12:]) % self._sets * _SET, hashed[:12]

    def _digest(self, user: Octets, dn: Octets, password: Octets, accepted: float) -> bytes:
        state = blake2b(_FRAME.pack(accepted, len(user), len(dn)), digest_size=32, key=self._key, person=b"password")
        for part in (user, dn, password):
            state.update(part)
        return state.digest()

    def _seal(self, body: Octets) -> bytes:
        return blake2b(body, digest_size=8, key=self._key, person=b"slot").digest()
