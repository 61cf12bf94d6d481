"""What workers and the director of a node say to each other over a stream socket.

A frame is its length, four bytes in network order, and so many bytes of MessagePack: a list of messages, in the order
in which they were said. A worker begins with `Hello` and with `Announce` for each session that it has; the director
answers with `Welcome`. Who gets something that is not in this file closes the connection.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

VERSION: Final = 1

MAX_FRAME: Final = 4 * 1024 * 1024
"""Bytes; what would be longer is said in several frames."""

MAX_MESSAGES: Final = 4096
"""Messages that a sender puts into one frame."""

Reason: TypeAlias = Literal[
    "no_shard", "no_backend", "unreachable", "waited", "full", "store", "limit_user", "limit_address", "limit_pair"
]
"""Why there is no lease: the shard is not known; none of its backends may be used; this node cannot reach the user's,
but others can; the user was being moved for longer than one may wait; there is no room for more users; the store has
something that cannot be read; there are too many sessions of the user, the address, or the user from that address."""


class BadFrame(Exception):
    """The other side does not speak this version of the protocol."""


class _Message(Struct, frozen=True, array_like=True, gc=False):
    """One message; the tag comes first, then the fields."""


# What workers say.


class Hello(_Message, frozen=True, tag=1):
    """The first word: `worker` names one life of a worker, also when it comes again; `slot` is its number."""

    version: int
    worker: str
    slot: int


class Announce(_Message, frozen=True, tag=2):
    """A session that lives already. `epoch` is what its lease was granted with, `began` is in seconds since 1970."""

    lease: int
    user: str
    backend: str
    shard: str
    epoch: int
    address: str
    protocol: str
    session: str
    began: float


class Announced(_Message, frozen=True, tag=3):
    """Those were all."""


class Assign(_Message, frozen=True, tag=4):
    """A session whose user has been recognised wants a backend. The answer is `Grant` or `Refuse`.

    `lease` is a number that this worker has not used before. `shard` and `preferred` are what the directory says.
    `failed` is the backend that this session was given before, and that did not accept it; "" in a first try.
    `began` is when the session began, in seconds since 1970.
    """

    lease: int
    user: str
    shard: str
    preferred: str
    address: str
    protocol: str
    session: str
    failed: str = ""
    began: float = 0.0


class Release(_Message, frozen=True, tag=5):
    """The session is over, or wants no answer any more."""

    lease: int


class Report(_Message, frozen=True, tag=6):
    """How a login at a backend went: `phase` is "connect" until it has greeted, then "login". `ok` is said only of
    backends of which the worker has said lately that they failed."""

    backend: str
    user: str
    phase: Literal["connect", "login"]
    ok: bool


class Connected(_Message, frozen=True, tag=7):
    """A client has connected. No answer; but see `Embargo`."""

    address: str


class Attempt(_Message, frozen=True, tag=8):
    """May this name be tried from there now? Asked only while `Wary` says so; the answer is `Wait`."""

    request: int
    name: str
    address: str


class Failed(_Message, frozen=True, tag=9):
    """A login has failed because of its name or password. The answer is `Wait`: for how long to keep the reply."""

    request: int
    name: str
    address: str


class Passed(_Message, frozen=True, tag=10):
    """The password was right. No answer."""

    name: str
    address: str


# What the director says.


class Place(Struct, frozen=True, array_like=True, gc=False):
    """Where a backend is; `ports` has only protocols whose port is not the usual one."""

    name: str
    host: str
    ports: dict[str, int]


class Welcome(_Message, frozen=True, tag=32):
    """The answer to `Hello`: this node's life."""

    version: int
    node: str


class Catalogue(_Message, frozen=True, tag=33):
    """All backends, whenever they change; before the first `Grant`."""

    backends: list[Place]


class Grant(_Message, frozen=True, tag=34):
    """The lease is given, for that backend."""

    lease: int
    backend: str
    shard: str
    why: str
    epoch: int


class Refuse(_Message, frozen=True, tag=35):
    """There is no lease; the number is done with. `text` is for the log, `wait` is after how many seconds another try
    may help, 0 if nobody knows."""

    lease: int
    reason: Reason
    text: str
    wait: float = 0.0


class Kick(_Message, frozen=True, tag=36):
    """End the session. `now`: at once, for the user may be elsewhere already; else between two responses."""

    lease: int
    reason: str
    now: bool


class Wait(_Message, frozen=True, tag=37):
    """The answer to `Attempt` and `Failed`, in seconds."""

    request: int
    seconds: float


class Wary(_Message, frozen=True, tag=38):
    """For so many seconds, ask by `Attempt` before a password is tried: for this name, or "", from this address (as
    the limits count addresses, see `Limits.place`), or ""."""

    name: str
    address: str
    seconds: float


class Embargo(_Message, frozen=True, tag=39):
    """Take no connection from this address, as the limits count addresses, for so many seconds."""

    address: str
    seconds: float


FromWorker: TypeAlias = Hello | Announce | Announced | Assign | Release | Report | Connected | Attempt | Failed | Passed
ToWorker: TypeAlias = Welcome | Catalogue | Grant | Refuse | Kick | Wait | Wary | Embargo

_LENGTH: Final = struct.Struct("!I")
_encoder: Final = Encoder()
_from_worker: Final = Decoder(list[FromWorker])
_to_worker: Final = Decoder(list[ToWorker])


def frames(messages: Sequence[FromWorker] | Sequence[ToWorker]) -> bytes:
    """Return the messages as frames. Raises ValueError for one message that is longer than a frame may be."""
    if len(messages) > MAX_MESSAGES:
        return b"".join(
            frames(messages[start : start + MAX_MESSAGES]) for start in range(0, len(messages), MAX_MESSAGES)
        )
    body = _encoder.encode(messages)
    if len(body) > MAX_FRAME:
        if len(messages) == 1:
            raise ValueError(f"a message of {len(body)} bytes is too long")
        half = len(messages) // 2
        return frames(messages[:half]) + frames(messages[half:])
    return _LENGTH.pack(len(body)) + body


class Unframer:
    """Takes bytes as they come and gives frames' bodies. Keeps less than a frame."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Return the bodies that are complete now. Raises BadFrame for one that is too long."""
        kept = self._kept + data if self._kept else data
        start, bodies = 0, []
        while len(kept) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(kept, start)
            if length > MAX_FRAME:
                raise BadFrame(f"a frame of {length} bytes")
            end = start + _LENGTH.size + length
            if len(kept) < end:
                break
            bodies.append(kept[start + _LENGTH.size : end])
            start = end
        self._kept = kept[start:]
        return bodies


def from_worker(body: bytes) -> list[FromWorker]:
    """Read what a worker says. Raises BadFrame."""
    try:
        return _from_worker.decode(body)
    except DecodeError:  # msgspec.ValidationError is one
        raise BadFrame("not the words of a worker of this version") from None


def to_worker(body: bytes) -> list[ToWorker]:
    """Read what the director says. Raises BadFrame."""
    try:
        return _to_worker.decode(body)
    except DecodeError:
        raise BadFrame("not the words of a director of this version") from None
