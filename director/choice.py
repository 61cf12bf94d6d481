"""In which order the backends of a shard come for a user: the same on every node, in every worker and version.

Among backends of one priority the users are spread by weighted rendezvous hashing (Thaler and Ravishankar, "Using
name-based mappings to increase hit rates", 1998; weights as in draft-ietf-bess-weighted-hrw). Each backend draws a
number for the user, the smallest goes first:

    number = -ln((h + 1/2) / 2^52) / weight h      = the upper 52 bits of BLAKE2b with 8 bytes of output (RFC 7693),
    big-endian, over user + NUL + backend name in UTF-8

A backend that comes or goes moves only the users that it gains or loses.
"""

from collections.abc import Callable, Container, Sequence
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
    first, draw = shard.find(preferred), _draw_for(user)
    backends = [backend for backend in shard.backends if backend.name in usable]
    return tuple(sorted(backends, key=lambda backend: (backend is not first, backend.priority, draw(backend))))


def choose(user: str, shard: Shard, preferred: str, usable: Container[str]) -> tuple[Backend, Why] | None:
    """Return the backend that `rank` has first, and why; None when none is usable. Draws only where priorities do not
    decide."""
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
    return backends[0] if len(backends) == 1 else min(backends, key=_draw_for(user))


def _draw_for(user: str) -> Callable[[Backend], tuple[float, str]]:
    """Return the draw for this user; the name decides between equal numbers."""
    hashed = blake2b(user.encode() + b"\0", digest_size=8)

    def draw(backend: Backend) -> tuple[float, str]:
        both = hashed.copy()
        both.update(backend.name.encode())
        return -log(((int.from_bytes(both.digest(), "big") >> 12) + 0.5) / _STEPS) / backend.weight, backend.name

    return draw
