"""What changed in a domain, by the DirSync control (MS-ADTS 3.1.1.3.4.1.3).

It takes the right "Replicating Directory Changes" on the naming context. The server's cookie knows what every
controller of the domain had told, so it is good at each of them, and deleted entries are told without further rights.

An entry is told when one of the attributes asked for has changed. Where it is (`name`) and whether it is deleted are
asked for beside those that make a user of it, so that renames, moves and deletions are told, too.

An entry that was read from a controller which lags behind, and had told a later change elsewhere, is put right by the
next comparison.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from ldapmap.errors import Misconfigured, ServerFault, Unavailable
from ldapmap.mirror.controller import EVERY, Controller
from ldapmap.mirror.controls import DIRSYNC, Question, dirsync, next_changes
from ldapmap.mirror.listing import ListingConnection
from ldapmap.mirror.usn import id_of

ANSWER_BYTES = 1 << 20
"""Size of one answer asked for; servers have a limit of their own."""

MARKS = ("name", "isDeleted", "objectClass")
"""What changes when an entry is renamed, moved, deleted or made another kind of thing."""


class DirSyncChanges:
    """The changes that the server on this connection tells; a new one for every connection."""

    name = "dirsync"
    warning = ""

    def __init__(self, connection: ListingConnection, controller: Controller, attributes: Sequence[str]) -> None:
        self._connection = connection
        wanted = {name.lower(): name for name in (*attributes, *MARKS)}
        self._question = Question(controller.context, "subtree", EVERY, tuple(wanted.values()))
        self._cookie = b""
        self._waiting: list[list[bytes]] = []

    async def resume(self, saved: bytes) -> bool:
        """Go on where `saved` was; False: only a comparison of everything can tell what changed."""
        self._cookie = saved
        if not saved:
            return False
        try:
            self._waiting = [ids async for ids in self.changed()]
        except ServerFault:
            raise
        except Unavailable:  # a cookie it does not understand; if it is something else, the comparison will hear of it
            return False
        return True

    async def begin(self) -> None:
        """Note where a comparison that begins now has to go on from: the server goes through everything for that."""
        self._cookie = b""
        async for _ in self.changed():
            pass

    async def changed(self) -> AsyncIterator[list[bytes]]:
        """The ids of all entries that changed since the last time, deleted ones and those of no interest included.

        Raises Misconfigured or Unavailable; whoever does not take everything asks on a new connection.
        """
        while self._waiting:
            yield self._waiting.pop()
        more = True
        while more:
            found, more, self._cookie = await self._ask()
            yield found

    async def _ask(self) -> tuple[list[bytes], bool, bytes]:
        """One answer: ids, whether there are more, and the cookie to ask for them with."""
        found: list[bytes] = []
        control = dirsync(ANSWER_BYTES, self._cookie)
        try:
            controls = await self._connection.ask(self._question, lambda entry: found.extend(id_of(entry)), [control])
        except Misconfigured as fault:
            right = 'the identity needs the right "Replicating Directory Changes" on'
            raise Misconfigured(f"{right} {self._question.base!r}: {fault.reason}") from None
        return found, *self._connection.understood(next_changes, controls.get(DIRSYNC, b""))

    @property
    def position(self) -> bytes:
        """What to save when all that `changed` told has been written."""
        return self._cookie
