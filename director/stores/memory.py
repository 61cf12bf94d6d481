"""The store of a node that is alone: dictionaries, with the same rules as the shared one."""

from asyncio import Queue
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, Generic, TypeVar
from uuid import uuid4

from director.record import beginning
from director.store import MAX_MESSAGE, MAX_UNREAD, SWAPPED, Node, Snapshot, StoreAway, Swapped, Vote

V = TypeVar("V")

_NEVER: Final = float("inf")
_SWEPT_PER_CHANGE: Final = 2
"""Each change adds at most one time of expiry: looking at two keeps up without ever taking long."""

_REMEMBERED: Final = 86_400.0
"""A node that has been silent for so long (s) is forgotten."""

_GRAIN: Final = 1.0
"""Ends are kept apart by so many seconds."""

_SPARE: Final = 1000
"""There may be so many more places in lists than twice what they are about, before the lists are written anew."""


class _Expiring(Generic[V]):
    """A dictionary whose values have an end; `now` never goes backwards.

    The keys of what ends are kept in lists, one for all that end within the same `_GRAIN`: that takes eight bytes each,
    where a heap takes a hundred.
    """

    def __init__(self) -> None:
        self._lasting: dict[str, V] = {}
        self._passing: dict[str, tuple[V, float]] = {}
        self._due: dict[int, list[str]] = {}
        self._listed = 0

    def get(self, key: str, now: float) -> V | None:
        found = self._lasting.get(key)
        if found is not None:
            return found
        passing = self._passing.get(key)
        return None if passing is None or passing[1] <= now else passing[0]

    def put(self, key: str, value: V, end: float, now: float) -> None:
        if end == _NEVER:
            self._passing.pop(key, None)
            self._lasting[key] = value
        else:
            self._lasting.pop(key, None)
            self._passing[key] = value, end
            self._list(key, end)
        self._sweep(now)

    def remove(self, key: str) -> None:
        self._lasting.pop(key, None)
        self._passing.pop(key, None)

    def living(self, now: float) -> list[tuple[str, V]]:
        passing = [(key, value) for key, (value, end) in self._passing.items() if end > now]
        return [*self._lasting.items(), *passing]

    def _list(self, key: str, end: float) -> None:
        self._due.setdefault(int(end // _GRAIN) + 1, []).append(key)
        self._listed += 1

    def _sweep(self, now: float) -> None:
        """Forget some of what has ended. A place in a list that no longer counts may stay there for a while."""
        for _ in range(_SWEPT_PER_CHANGE):
            first = next(iter(self._due), None)
            if first is None or first * _GRAIN > now:
                break
            self._look_at(first, now)
        if self._listed > 2 * len(self._passing) + _SPARE:
            self._list_anew()

    def _look_at(self, number: int, now: float) -> None:
        """See whether the last one of a list has ended; the lists are about in the order of their times."""
        keys = self._due[number]
        key = keys.pop()
        self._listed -= 1
        if not keys:
            del self._due[number]
        if self._passing.get(key, (None, _NEVER))[1] <= now:
            del self._passing[key]

    def _list_anew(self) -> None:
        self._due, self._listed = {}, 0
        for key, (_, end) in sorted(self._passing.items(), key=lambda item: item[1][1]):
            self._list(key, end)


class MemoryStore:
    """Keeps everything in this process. `clock` gives seconds that never go backwards.

    Of one node there are as many messages and votes as it makes itself; nothing is ever away.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._identity = uuid4().hex
        self._records: _Expiring[bytes] = _Expiring()
        self._counters: _Expiring[dict[str, int]] = _Expiring()
        self._hits: _Expiring[tuple[int, float]] = _Expiring()
        self._votes: _Expiring[Vote] = _Expiring()
        self._admin: dict[str, str] = {}
        self._nodes: dict[str, tuple[str, float]] = {}
        self._listeners: set[Queue[bytes | None]] = set()

    @property
    def admin(self) -> Mapping[str, str]:
        """The operator's words about backends."""
        return dict(self._admin)

    async def start(self) -> None:
        """Nothing to begin."""

    async def close(self) -> None:
        """End all iterations over messages."""
        for listener in self._listeners:
            _push(listener, None)

    def swap_now(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        """What `swap` does, without waiting."""
        now = self._clock()
        found = self._records.get(user, now)
        if found != expected and found != new:
            return found
        if new is None:
            self._records.remove(user)
        else:
            self._records.put(user, new, _NEVER if ttl is None else now + ttl, now)
        return SWAPPED

    def read_now(self, user: str) -> bytes | None:
        """What `read` does, without waiting."""
        return self._records.get(user, self._clock())

    async def swap(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        """See Store."""
        return self.swap_now(user, expected, new, ttl)

    async def read(self, user: str) -> bytes | None:
        """See Store."""
        return self.read_now(user)

    async def scan(self, backend: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """See Store: all as it was when the iteration began."""
        start = beginning(backend) if backend else b""
        for user, value in self._records.living(self._clock()):
            if value.startswith(start):
                yield user, value

    async def beat(self, node: str, incarnation: str) -> Snapshot:
        """See Store."""
        now = self._clock()
        self._nodes = {name: known for name, known in self._nodes.items() if now - known[1] <= _REMEMBERED}
        self._nodes[node] = incarnation, now
        nodes = tuple(Node(name, started, now - seen) for name, (started, seen) in self._nodes.items())
        return Snapshot(self._identity, nodes, dict(self._admin), tuple(vote for _, vote in self._votes.living(now)))

    async def leave(self, node: str) -> None:
        """See Store."""
        self._nodes.pop(node, None)
        for key, vote in self._votes.living(self._clock()):
            if vote.node == node:
                self._votes.remove(key)

    async def set_admin(self, backend: str, state: str) -> None:
        """See Store."""
        if state:
            self._admin[backend] = state
        else:
            self._admin.pop(backend, None)

    async def vote(self, node: str, backend: str, view: str, ttl: float) -> None:
        """See Store."""
        now = self._clock()
        self._votes.put(f"{backend}\0{node}", Vote(backend, node, view), now + ttl, now)

    async def count(self, key: str, node: str, value: int, ttl: float) -> Mapping[str, int]:
        """See Store."""
        now = self._clock()
        shares = {name: share for name, share in (self._counters.get(key, now) or {}).items() if name != node}
        if value:
            shares[node] = value
        if shares:
            self._counters.put(key, shares, now + ttl, now)
        else:
            self._counters.remove(key)
        return dict(shares)

    async def hit(self, key: str, window: float) -> int:
        """See Store."""
        now = self._clock()
        hits, end = self._hits.get(key, now) or (0, now + window)
        self._hits.put(key, (hits + 1, end), end, now)
        return hits + 1

    async def publish(self, message: bytes) -> None:
        """See Store."""
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes is too long")
        for listener in self._listeners:
            _push(listener, message)

    async def messages(self) -> AsyncIterator[bytes]:
        """See Store."""
        listener: Queue[bytes | None] = Queue(MAX_UNREAD)
        self._listeners.add(listener)
        try:
            while (message := await listener.get()) is not None:
                yield message
        finally:
            self._listeners.discard(listener)
        raise StoreAway("the store has been closed")


def _push(listener: Queue[bytes | None], message: bytes | None) -> None:
    """Add a message, in place of the oldest when there are too many."""
    if listener.full():
        listener.get_nowait()
    listener.put_nowait(message)
