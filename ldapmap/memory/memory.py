"""What the supervisor makes before the first fork so that passwords can be remembered: the table, and a line for each
worker. It keeps all of it, so that a process of either kind may die and be replaced."""

from __future__ import annotations

import socket

from ldapmap.memory.keeper import MemoryKeeper
from ldapmap.memory.line import MemoryLine, memory_pair
from ldapmap.memory.table import RememberedTable
from ldapmap.sections import RememberSettings


class Memory:
    """The table and both ends of all lines. Raises OSError when there is no room for them."""

    def __init__(self, settings: RememberSettings, workers: int) -> None:
        self._table = RememberedTable.create(settings)
        self._pairs = [memory_pair() for _ in range(workers)]

    def line(self, slot: int) -> MemoryLine:
        """For the worker of this slot, in its process: it gives up the table and everybody else's sockets."""
        self._table.discard()
        own = self._pairs[slot][0]
        for end in self._ends():
            if end is not own:
                end.close()
        return MemoryLine(own)

    def keeper(self) -> MemoryKeeper:
        """For the mirror's process: the table, and the other end of every line."""
        theirs = [end for _, end in self._pairs]
        for end, _ in self._pairs:
            end.close()
        return MemoryKeeper(self._table, theirs)

    def discard(self) -> None:
        """For any other process: give up everything."""
        self._table.discard()
        for end in self._ends():
            end.close()

    def _ends(self) -> list[socket.socket]:
        return [end for pair in self._pairs for end in pair]
