"""What searches have answered, kept for a while. No I/O; the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ldapmap.entries import Entry


class Answer(NamedTuple):
    """What a search that began at `asked` (seconds) has found; None: nobody has this name."""

    entry: Entry | None
    asked: float


class Answers:
    """The last answer for each name: of at most `size` names that somebody has, and as many that nobody has.

    The least recently used makes room. Both kinds are kept apart, or whoever tries names at random would push out the
    users. An answer never replaces that of a search which began later: searches may overtake each other.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._users: OrderedDict[str, Answer] = OrderedDict()
        self._nobody: OrderedDict[str, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._users) + len(self._nobody)

    def get(self, name: str) -> Answer | None:
        """The last answer, which counts as used; it is for the caller to say whether it is too old."""
        for kept in (self._users, self._nobody):
            if name in kept:
                kept.move_to_end(name)
                return kept[name]
        return None

    def put(self, name: str, answer: Answer) -> None:
        """Keep an answer, unless a later one is known."""
        if not self.drop(name, answer.asked):
            return
        kept = self._nobody if answer.entry is None else self._users
        kept[name] = answer
        if len(kept) > self._size:
            kept.popitem(last=False)

    def drop(self, name: str, asked: float) -> bool:
        """Forget what was answered to searches until then; False: a later answer is known, and stays."""
        for kept in (self._users, self._nobody):
            if name in kept:
                if kept[name].asked > asked:
                    return False
                del kept[name]
        return True
