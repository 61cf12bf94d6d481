"""Which backends are down, judged by how sessions fared when they connected."""

from dataclasses import dataclass
from math import inf
from typing import Literal, TypeAlias

from director.shards import Shard

State: TypeAlias = Literal["up", "down", "trial"]
"""up: serves; down: is left alone; trial: was down long enough, the next login may try it."""


@dataclass(slots=True)
class _Trouble:
    failures: int = 0
    retry_at: float = -inf
    """When a backend that is down may be tried."""


class Health:
    """Failures in a row, per backend name; nothing is kept of a backend that answers.

    After `failures_to_down` of them a backend is down for `retry_after` seconds. Then it is due for a trial: one
    login may have it, and whatever becomes of that login, the next trial is another `retry_after` seconds away,
    unless a success ends the trouble. Times are seconds of one clock that does not go backwards.
    """

    def __init__(self, failures_to_down: int, retry_after: float) -> None:
        self._failures_to_down = failures_to_down
        self._retry_after = retry_after
        self._troubles: dict[str, _Trouble] = {}

    def report(self, name: str, ok: bool, now: float) -> bool:
        """Take note of a connection; return whether this failure puts the backend down, for the first time or again."""
        if ok:
            self._troubles.pop(name, None)
            return False
        trouble = self._troubles.setdefault(name, _Trouble())
        trouble.failures += 1
        if trouble.failures < self._failures_to_down:
            return False
        trouble.retry_at = now + self._retry_after
        return True

    def state(self, name: str, now: float) -> State:
        """Return what may be done with the backend."""
        trouble = self._troubles.get(name)
        if trouble is None or trouble.failures < self._failures_to_down:
            return "up"
        return "down" if now < trouble.retry_at else "trial"

    def retry_in(self, name: str, now: float) -> float:
        """Return the seconds until a backend that is down is due for a trial; 0 if it is not down."""
        trouble = self._troubles.get(name)
        return max(0.0, trouble.retry_at - now) if trouble else 0.0

    def usable(self, shard: Shard, now: float) -> frozenset[str]:
        """Return the names of the backends that are up or due for a trial; `shard.names` itself when all are."""
        if not self._troubles:
            return shard.names
        down = {name for name in shard.names if self.state(name, now) == "down"}
        return shard.names - down if down else shard.names

    def use(self, name: str, now: float) -> None:
        """Take note that a login was given the backend: if it was due for a trial, this is the one."""
        if self._troubles and self.state(name, now) == "trial":
            self._troubles[name].retry_at = now + self._retry_after
