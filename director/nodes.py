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
        self._now = now
        self._dead = frozenset[str]()
        self._missing: dict[str, float] = {}
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

    @property
    def is_first(self) -> bool:
        """Whether this node is the one that clears up after the dead."""
        return min(self.living) == self._me

    def look(self, nodes: Iterable[Node], emptied: bool, now: float) -> list[str]:
        """Take the table of nodes; return those that have died since the last one."""
        self._now = now
        self.ages = {node.name: node.age for node in nodes}
        self.living = frozenset(name for name, age in self.ages.items() if age < self._timeout) | {self._me}
        dead = frozenset(self.ages) - self.living
        fresh = sorted(dead - self._dead)
        self._dead = dead
        for life in [life for life in self._missing if emptied or life in self.ages]:
            del self._missing[life]
        return fresh
