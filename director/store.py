"""What the nodes share, and how they change it: compare-and-set per user, and a few small tables.

A store decides nothing and understands nothing: what may become of an assignment is `director/record.py`'s business,
so that it is the same for every store. Messages are hints: whatever they tell is also found by looking.
"""

from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol

MAX_MESSAGE: Final = 65536
"""Most bytes in a message: a hint names a few users, it does not carry them."""

MAX_UNREAD: Final = 10_000
"""So many messages wait for a listener that is busy; then the oldest are lost, which polling makes up for."""


class StoreAway(Exception):
    """The store did not answer in time, or not usefully; whether it did what was asked is unknown.

    Asking again does no harm: everything here may be done twice.
    """


class BadRecord(Exception):
    """The store holds something for a user that no director of this version has written."""


class Swapped(Enum):
    """The answer of a swap that was done."""

    SWAPPED = "swapped"


SWAPPED: Final = Swapped.SWAPPED


class Node(NamedTuple):
    """A node that has been heard of: `incarnation` is another after each start, `age` is the seconds since its last
    heartbeat, as well as the asking node can know."""

    name: str
    incarnation: str
    age: float


class Vote(NamedTuple):
    """What a node says about a backend's health."""

    backend: str
    node: str
    view: str


class Snapshot(NamedTuple):
    """The small tables at one moment.

    `store` changes when the store may have lost something that it had confirmed: it was emptied or restarted, or
    another server has taken its place. Whoever holds users claims them again then.
    """

    store: str
    nodes: tuple[Node, ...]
    admin: Mapping[str, str]
    votes: tuple[Vote, ...]


class Store(Protocol):
    """A store of assignments that nodes may share. Every method but `close` raises StoreAway within its deadline.

    Times are seconds. Names (users, nodes, backends, keys) are text without NUL; they are bounded where they come
    from. Nothing is kept of a node that has been silent for a day.
    """

    async def start(self) -> None:
        """Begin; the store need not be there yet."""
        ...

    async def close(self) -> None:
        """End all that is under way, which then raises StoreAway."""
        ...

    async def swap(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        """Put `new` for the user in place of `expected` (None: nothing), to be forgotten after `ttl` seconds (None:
        never). Returns SWAPPED, or what is there instead. What is `new` already counts as swapped, so that an order
        whose answer was lost may be given again."""
        ...

    async def read(self, user: str) -> bytes | None:
        """Return what is there for the user."""
        ...

    def scan(self, backend: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """Yield each user and what is there, of all users or of those assigned to a backend.

        Who comes, goes or changes meanwhile may be missing, out of date, or there twice.
        """
        ...

    async def beat(self, node: str, incarnation: str) -> Snapshot:
        """Say that a node lives, and return the small tables."""
        ...

    async def leave(self, node: str) -> None:
        """Take a node out of the table of nodes, with its votes: it has ended in good order."""
        ...

    async def set_admin(self, backend: str, state: str) -> None:
        """Keep the operator's word about a backend for good; "" takes it back."""
        ...

    async def vote(self, node: str, backend: str, view: str, ttl: float) -> None:
        """Keep what a node says about a backend for `ttl` seconds, in place of what it said before."""
        ...

    async def count(self, key: str, node: str, value: int, ttl: float) -> Mapping[str, int]:
        """Set a node's share of a counter (0: it has none) and return all nodes' shares.

        The counter is forgotten `ttl` seconds after any node has set its share, so who has one says so in time. A
        share is a number that the node knows, not a difference: a lost answer makes no count wrong for long.
        """
        ...

    async def hit(self, key: str, window: float) -> int:
        """Count an event, and return how many there were since the window began: it begins with the first event that
        finds none, and lasts `window` seconds. (Doing this twice counts twice, which a limit on rates can bear.)"""
        ...

    async def publish(self, message: bytes) -> None:
        """Tell all listeners, this node's own as well. Raises ValueError beyond MAX_MESSAGE bytes."""
        ...

    def messages(self) -> AsyncIterator[bytes]:
        """Yield messages from the moment the iteration begins; StoreAway ends it, and messages may have been lost."""
        ...
