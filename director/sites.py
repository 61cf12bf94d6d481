"""Whose site's turn it is: another site takes over when every backend of the first has been gone for some time.

Between sites the way is long, and what is copied may lag behind; a short outage is not worth that. The first site of a
user is that of the preferred backend, or the one, or those, of the backends with the best priority.
"""

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Final

from director.shards import Backend, Shard

_NONE: Final[frozenset[str]] = frozenset()


class Sites:
    """The sites of all shards, and which backends are gone. `now` is in seconds and does not go backwards."""

    def __init__(self, failover_after: float) -> None:
        self._failover_after = failover_after
        self._spread: dict[str, Shard] = {}
        self._gone: dict[str, float] = {}
        self._lost: dict[str, frozenset[str]] = {}

    def arrange(self, shards: Iterable[Shard]) -> None:
        """These are the shards now; `review` has to follow."""
        self._spread = {shard.name: shard for shard in shards if len(_sites(shard.backends)) > 1}

    def review(self, gone: Collection[str], now: float) -> None:
        """Those are the backends that are gone now."""
        self._gone = {name: self._gone.get(name, now) for name in gone}
        lost = ((name, self._lost_sites(shard, now)) for name, shard in self._spread.items())
        self._lost = {name: sites for name, sites in lost if sites} if self._gone else {}

    def spreads(self, shard: Shard) -> bool:
        """Whether the shard has backends at several sites."""
        return shard.name in self._spread

    def on_turn(self, shard: Shard, preferred: str) -> frozenset[str]:
        """Return the backends whose site's turn it is: `shard.names` itself when that is all."""
        if not self.spreads(shard):
            return shard.names
        home = _home(shard, shard.find(preferred) if preferred else None)
        if home <= self._lost.get(shard.name, _NONE):
            return shard.names
        return frozenset(backend.name for backend in shard.backends if backend.site in home)

    def given_up(self) -> frozenset[str]:
        """Return the backends at lost sites of shards that have a backend at another site which is not gone."""
        return frozenset(chain.from_iterable(self._at_lost_sites(name) for name in self._lost))

    def _at_lost_sites(self, name: str) -> list[str]:
        shard, lost = self._spread[name], self._lost[name]
        if all(backend.site in lost or backend.name in self._gone for backend in shard.backends):
            return []
        return [backend.name for backend in shard.backends if backend.site in lost]

    def _lost_sites(self, shard: Shard, now: float) -> frozenset[str]:
        standing = _sites(backend for backend in shard.backends if not self._has_left(backend.name, now))
        return _sites(shard.backends) - standing

    def _has_left(self, name: str, now: float) -> bool:
        return name in self._gone and now - self._gone[name] >= self._failover_after


def _home(shard: Shard, preferred: Backend | None) -> frozenset[str]:
    """The first site of a user; sites of the same priority stand in for each other at once."""
    best = _sites(shard.tiers[0])
    return best if preferred is None or preferred.site in best else frozenset({preferred.site})


def _sites(backends: Iterable[Backend]) -> frozenset[str]:
    return frozenset(backend.site for backend in backends)
