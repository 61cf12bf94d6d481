"""How soon a change in the directory is seen by those who read a copy of it, and what reading costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from loadtest.people import dn, uid

POLL = 0.0001
"""Seconds between two looks; it is part of every delay that is told."""

PATIENCE = 60.0
"""Seconds after which a change is taken for lost."""

ShardOf = Callable[[str], str | None]
"""The shard of a user according to the copy; None: not in it."""


class ChangeLost(Exception):
    """A change was never seen; the text says whose."""


class Changing(Protocol):
    """Whoever changes the directory; `editor.Editor` is one."""

    def replace(self, dn: str, attribute: str, value: str) -> None: ...

    def replace_all(self, changes: Iterable[tuple[str, str, str]]) -> None: ...


def delays(editor: Changing, shard_of: ShardOf, numbers: Sequence[int], shard: str) -> list[float]:
    """Move users to `shard` one after the other: for each the seconds from the order until a reader sees it.

    The server's own work on the change is part of it. Raises ChangeLost.
    """
    found = []
    for number in numbers:
        began = time.perf_counter()
        editor.replace(dn(number), "mailHost", shard)
        await_shard(shard_of, [number], shard)
        found.append(time.perf_counter() - began)
    return found


def burst(editor: Changing, shard_of: ShardOf, numbers: Sequence[int], shard: str) -> tuple[float, float]:
    """Move many users at once: the seconds until the server has answered all, and from then until all are seen."""
    began = time.perf_counter()
    editor.replace_all((dn(number), "mailHost", shard) for number in numbers)
    answered = time.perf_counter()
    await_shard(shard_of, numbers, shard)
    return answered - began, time.perf_counter() - answered


def await_shard(shard_of: ShardOf, numbers: Sequence[int], shard: str) -> None:
    """Look until all these users are in `shard`. Raises ChangeLost."""
    end, missing = time.perf_counter() + PATIENCE, list(numbers)
    while missing:
        while missing and shard_of(uid(missing[-1])) == shard:
            missing.pop()
        if missing:
            if time.perf_counter() > end:
                raise ChangeLost(f"{uid(missing[-1])} and perhaps others were not seen in {shard}")
            time.sleep(POLL)


def lookup_cost(shard_of: ShardOf, names: Sequence[str]) -> float:
    """Microseconds of processor time of one lookup, the least of three rounds. Raises ChangeLost for a user missing."""
    for name in names:
        if shard_of(name) is None:
            raise ChangeLost(f"{name} is not in the copy")
    return min(_lookups(shard_of, names) for _ in range(3)) / len(names) * 1e6


def _lookups(shard_of: ShardOf, names: Sequence[str]) -> float:
    began = time.process_time()
    for name in names:
        shard_of(name)
    return time.process_time() - began
