"""In which order the backends of a shard come for a user: the same on every node, in every worker and version.

Among backends of one priority the users are spread by weighted rendezvous hashing (Thaler and Ravishankar, "Using
name-based mappings to increase hit rates", 1998; weights as in draft-ietf-bess-weighted-hrw). Each backend draws a
number for the user, the smallest goes first:

    number = -ln((h + 1/2) / 2^52) / weight
    h      = the upper 52 bits, big-endian, of BLAKE2b (RFC 7693) with 8 bytes of output
             over user + NUL + backend name, both in UTF-8

A backend that comes or goes moves only the users that it gains or loses.
"""

from collections.abc import Container, Sequence
from hashlib import blake2b
from math import log
from typing import Final, Literal, TypeAlias

from director.shards import Backend, Shard

Why: TypeAlias = Literal["sticky", "preferred", "priority", "hash", "failover"]
"""Why a user is on a backend: was there already; the entry prefers it; it alone has the best priority; it was drawn
among several of that priority; the one that would have come first is down."""

_STEPS: Final = 2.0**52
"""So many draws are exact in a float with 53 bits and never become 0 or 1, whose logarithms would be no use."""


def rank(user: str, shard: Shard, preferred: str, usable: Container[str]) -> tuple[Backend, ...]:
    """Return those backends of the shard whose names are in `usable`, in the order in which they should serve the user.

    `preferred` is the name or host of a backend, which goes first; "" or a stranger's is ignored. Then the lower
    priority, then the draw described above.
    """
    first, backends = shard.find(preferred), [backend for backend in shard.backends if backend.name in usable]
    ranked = sorted(
        zip(_draws(user, backends), backends, strict=True),
        key=lambda drawn: (drawn[1] is not first, drawn[1].priority, drawn[0]),
    )
    return tuple(backend for _, backend in ranked)


def choose(user: str, shard: Shard, preferred: str, usable: Container[str]) -> tuple[Backend, Why] | None:
    """Return the backend that `rank` has first, and why; None when none is usable.

    To be quick it draws only where priorities do not decide, and takes `usable` for complete if it is `shard.names`.
    """
    first = shard.find(preferred) if preferred else None
    if first is not None and first.name in usable:
        return first, "preferred"
    for tier in shard.tiers:
        if backends := [backend for backend in tier if backend.name in usable]:
            backend = _drawn_first(user, backends)
            if usable is not shard.names and backend is not (first or _drawn_first(user, shard.tiers[0])):
                return backend, "failover"
            return backend, "priority" if len(tier) == 1 else "hash"
    return None


def _drawn_first(user: str, backends: Sequence[Backend]) -> Backend:
    if len(backends) == 1:
        return backends[0]
    draws = _draws(user, backends)
    return backends[draws.index(min(draws))]


def _draws(user: str, backends: Sequence[Backend]) -> list[float]:
    """The number of each backend, in one loop without calls: the dearest part of a login of somebody not assigned."""
    prefix = user.encode() + b"\0"
    return [
        -log(((int.from_bytes(blake2b(prefix + backend.name.encode(), digest_size=8).digest()) >> 12) + 0.5) / _STEPS)
        / backend.weight
        for backend in backends
    ]
