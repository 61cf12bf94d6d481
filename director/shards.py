"""Shards and backends: who may serve whom. A host that is in no shard is never connected to."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Final

from director.sections import BackendSettings, ShardSettings


@dataclass(frozen=True, slots=True)
class Backend:
    """A server that holds a shard. `ports` has only protocols whose port is not the usual one; lower `priority` goes
    first."""

    name: str
    host: str
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)
    priority: int = 1
    weight: int = 1
    site: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """The mail of a set of users and the backends that hold it. Compared by identity where it matters: one object per
    shard."""

    name: str
    backends: tuple[Backend, ...]
    names: frozenset[str] = field(init=False, repr=False, compare=False)
    """The names of the backends."""
    tiers: tuple[tuple[Backend, ...], ...] = field(init=False, repr=False, compare=False)
    """The backends by priority, the one that goes first first."""
    _by_key: Mapping[str, Backend] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_priority = attrgetter("priority")
        in_order = sorted(self.backends, key=by_priority)
        object.__setattr__(self, "names", frozenset(backend.name for backend in self.backends))
        object.__setattr__(self, "tiers", tuple(tuple(tier) for _, tier in groupby(in_order, by_priority)))
        object.__setattr__(self, "_by_key", _by_host_and_name(self.backends))

    def find(self, value: str) -> Backend | None:
        """Return the backend with this name, or else this host; case and a trailing dot do not matter."""
        return self._by_key.get(_key(value))


class Shards:
    """All shards, found by what a directory entry may say.

    Raises ValueError for settings in which `shard_faults` finds a fault.
    """

    def __init__(self, settings: Sequence[ShardSettings]) -> None:
        for key, message in shard_faults(settings):
            raise ValueError(f"{key}: {message}")
        self.all: Final = tuple(_shard(shard) for shard in settings)
        self._by_key: Final = _by_host(self.all) | _by_name(self.all)

    def find(self, value: str) -> Shard | None:
        """Return the shard with this name, or with a backend of this name or host; None when there is no such shard.

        Case and a trailing dot do not matter. A host with backends of two shards stands for neither.
        """
        return self._by_key.get(_key(value))


def shard_faults(settings: Sequence[ShardSettings]) -> Iterator[tuple[str, str]]:
    """Yield key and message for what is ambiguous between shards: each name has to stand for one shard only.

    The key is relative to the list of shards: "0.name" is the name of the first. Faults inside a shard are its own.
    """
    meaning: dict[str, int] = {}
    for number, shard in enumerate(settings):
        if meaning.setdefault(_key(shard.name), number) != number:
            yield f"{number}.name", f"{shard.name!r} is taken; give every shard a name of its own"
    for number, shard in enumerate(settings):
        for position, backend in enumerate(shard.backend):
            if meaning.setdefault(_key(backend.name), number) != number:
                key = f"{number}.backend.{position}.name"
                yield key, f"{backend.name!r} stands for another shard; give every backend a name of its own"
    for number, shard in enumerate(settings):
        for position, backend in enumerate(shard.backend):
            if meaning.get(_key(backend.host), number) != number:
                key = f"{number}.backend.{position}.host"
                yield key, f"{backend.host!r} is also the name of another shard or its backend; rename that"


def _key(name: str) -> str:
    """One spelling for names and hosts."""
    return name.removesuffix(".").casefold()


def _shard(settings: ShardSettings) -> Shard:
    return Shard(settings.name, tuple(_backend(backend) for backend in settings.backend))


def _backend(settings: BackendSettings) -> Backend:
    return Backend(
        settings.name, settings.host, dict(settings.ports), settings.priority, settings.weight, settings.site
    )


def _by_host_and_name(backends: Sequence[Backend]) -> dict[str, Backend]:
    hosts = Counter(_key(backend.host) for backend in backends)
    by_host = {_key(backend.host): backend for backend in backends if hosts[_key(backend.host)] == 1}
    return by_host | {_key(backend.name): backend for backend in backends}


def _by_host(shards: Sequence[Shard]) -> dict[str, Shard]:
    """The shard for each host, but not for hosts that several shards share."""
    places = {(_key(backend.host), shard.name): shard for shard in shards for backend in shard.backends}
    times = Counter(host for host, _ in places)
    return {host: shard for (host, _), shard in places.items() if times[host] == 1}


def _by_name(shards: Sequence[Shard]) -> dict[str, Shard]:
    backends = {_key(backend.name): shard for shard in shards for backend in shard.backends}
    return backends | {_key(shard.name): shard for shard in shards}
