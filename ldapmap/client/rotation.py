"""Taking turns among servers of different weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Weighted(Protocol):
    @property
    def weight(self) -> int: ...


W = TypeVar("W", bound=Weighted)


class Rotation:
    """The smooth weighted round robin of nginx (`ngx_http_upstream_get_peer`): deterministic, and never in bursts."""

    def __init__(self) -> None:
        self._credit: dict[Weighted, int] = {}

    def next(self, candidates: Sequence[W]) -> W:
        """One of them. Over time each is chosen as often as its weight says, spread as evenly as possible."""
        if len(candidates) == 1:
            return candidates[0]
        credit = self._credit
        for each in candidates:
            credit[each] = credit.get(each, 0) + each.weight
        chosen = max(candidates, key=credit.__getitem__)
        credit[chosen] -= sum(each.weight for each in candidates)
        return chosen
