"""Shards as operators have them, and a clock that goes when told."""

from director import Backend, BackendSettings, Shard, ShardSettings


def backend(name: str, priority: int = 1, weight: int = 1) -> BackendSettings:
    return BackendSettings(name=name, host=f"{name}.example", priority=priority, weight=weight)


def shard(name: str, **priorities: int) -> Shard:
    """A shard with a backend for each name and its priority."""
    backends = (Backend(key, f"{key}.example", {}, priority) for key, priority in priorities.items())
    return Shard(name, tuple(backends))


def shard_settings(name: str, **priorities: int) -> ShardSettings:
    backends = tuple(backend(key, priority) for key, priority in priorities.items())
    return ShardSettings(name=name, backend=backends)


class Clock:
    """Seconds that pass only when they are added."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
