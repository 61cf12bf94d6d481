"""Which nodes live, and whose holds do not count any more."""

from collections.abc import Iterable

from director.store import Node


class Nodes:
    """Which lives of nodes there are; what it contains are the dead ones, whose holds do not count.

    A life that the store has not heard of counts as dead only when it has been missing for as long as a silent one: it
    may have claimed a user before its first heartbeat was seen here.
    """

    def __init__(self, me: str, timeout: float, now: float) -> None:
        self._me = me
        self._timeout = timeout
        self._now = self._counted_since = now
        self._dead = frozenset[str]()
        self._missing: dict[str, float] = {}
        self._vanished: dict[str, float] = {}
        """Since when lives that were known are not in the table any more, which has been emptied."""
        self.living = frozenset({me})
        self.away_since: float | None = None
        """When the store went away, through which we hear of the others; None while it is there."""
        self.ages: dict[str, float] = {}

    def __contains__(self, life: object) -> bool:
        if not isinstance(life, str) or life in self.living:
            return False
        if life in self._dead:
            return True
        return self._now - self._missing.setdefault(life, self._now) >= self._timeout

    def is_known(self, life: str) -> bool:
        """Whether the store has told of it, so that its votes have been counted."""
        return life == self._me or life in self.ages

    def count_us(self, now: float) -> bool:
        """Whether the others know this node and cannot have taken it for dead: the store has had its word lately, and
        for as long as it takes everybody to look."""
        return now - self._now < self._timeout / 2 <= now - self._counted_since

    @property
    def is_first(self) -> bool:
        """Whether this node is the one that clears up after the dead."""
        return min(self.living) == self._me

    def look(self, nodes: Iterable[Node], emptied: bool, now: float) -> list[str]:
        """Take the table of nodes; return those that have died since the last one."""
        if now - self._now >= self._timeout / 2:
            self._counted_since = now
        self._now, before = now, self.ages
        self.ages = {node.name: node.age for node in nodes}
        if emptied:
            self._vanished |= dict.fromkeys(before, now)
        self._vanished = {life: since for life, since in self._vanished.items() if life not in self.ages}
        self.living = frozenset(name for name, age in self.ages.items() if age < self._timeout) | {self._me}
        gone = (life for life, since in self._vanished.items() if now - since >= self._timeout)
        dead = (frozenset(self.ages) | frozenset(gone)) - self.living
        fresh = sorted(dead - self._dead)
        self._dead = dead
        for life in [life for life in self._missing if emptied or life in self.ages]:
            del self._missing[life]
        return fresh
