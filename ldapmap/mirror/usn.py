"""What changed on one domain controller, by its update sequence numbers: works with ordinary rights.

Every change to an entry, made on this controller or replicated to it, gives the entry's `uSNChanged` the controller's
next number. The numbers of one controller mean nothing on another, nor after its database was restored (then it has
another invocation id), nor when they have gone back (a virtual machine set back to a snapshot). In each of these cases
everything is compared.

There is one position, not one for each controller: what was read from another controller in between may have been older
than what this one had told us before, and would not come again.

`highestCommittedUSN` is read before the search, so whatever commits while it runs has a higher number and comes next
time. While it stays the same nothing has changed and nothing is searched.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import NamedTuple

from ldapmap.client.ber import octet_string, wrap
from ldapmap.client.filters import ServerOnly
from ldapmap.client.messages import FoundEntry
from ldapmap.errors import Misconfigured
from ldapmap.mirror.controller import Controller, highest_usn, sees_deleted
from ldapmap.mirror.controls import Question, show_deleted
from ldapmap.mirror.listing import ListingConnection

_LONGEST_POSITION = 4096
"""Bytes."""


class Position(NamedTuple):
    """How far the changes of one controller's database are known."""

    service: str
    invocation: bytes
    usn: int

    def encode(self) -> bytes:
        return json.dumps([self.service, self.invocation.hex(), self.usn]).encode()

    @classmethod
    def decode(cls, saved: bytes) -> Position | None:
        """None for anything that `encode` has not made."""
        try:
            service, invocation, usn = json.loads(saved[:_LONGEST_POSITION])
            return cls(str(service), bytes.fromhex(invocation), int(usn))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None

    def holds(self, controller: Controller, usn: int) -> bool:
        """Whether changes behind it are all there is to know at this controller, which has got to `usn`."""
        return (self.service, self.invocation) == (controller.service, controller.invocation) and self.usn <= usn


class UsnChanges:
    """The changes of the controller on this connection; a new one for every connection."""

    name = "usn"
    warning = ""

    def __init__(self, connection: ListingConnection, controller: Controller, seconds: float) -> None:
        self._connection = connection
        self._controller = controller
        self._seconds = seconds
        self._known = -1

    async def resume(self, saved: bytes) -> bool:
        """Go on where `saved` was; False: only a comparison of everything can tell what changed."""
        await self._look_for_deleted()
        usn = await highest_usn(self._connection, self._seconds)
        position = Position.decode(saved)
        if position is None or not position.holds(self._controller, usn):
            return False
        self._known = position.usn
        return True

    async def begin(self) -> None:
        """Note where a comparison that begins now has to go on from."""
        await self._look_for_deleted()
        self._known = await highest_usn(self._connection, self._seconds)

    async def changed(self) -> AsyncIterator[list[bytes]]:
        """The ids of all entries that changed since the last time, deleted ones and those of no interest included.

        Raises Misconfigured or Unavailable; whoever does not take everything asks on a new connection.
        """
        usn = await highest_usn(self._connection, self._seconds)
        if usn < self._known:
            raise Misconfigured(f"{self._connection}: update sequence numbers have gone back to {usn}")
        if usn == self._known:
            return
        least = str(self._known + 1).encode()
        since = ServerOnly(wrap(b"\xa5", octet_string(b"uSNChanged") + octet_string(least)))
        question = Question(self._controller.context, "subtree", since, ("objectGUID",))
        async for entries in self._connection.pages(question, [show_deleted()]):
            yield [entry_id for entry in entries for entry_id in id_of(entry)]
        self._known = usn

    async def _look_for_deleted(self) -> None:
        if not await sees_deleted(self._connection, self._controller.context):
            self.warning = (
                "the identity may not read the container of deleted objects, so somebody deleted is gone from the "
                "mirror only after the next comparison; see docs/active-directory.md"
            )

    @property
    def position(self) -> bytes:
        """What to save when all that `changed` told has been written."""
        return Position(self._controller.service, self._controller.invocation, self._known).encode()


def id_of(entry: FoundEntry) -> list[bytes]:
    """The id of an entry, if it shows it."""
    return [value for value in entry.attributes.get(b"objectguid", ()) if len(value) == 16]
