"""What the director wants done: orders to whoever does I/O for it, in the order in which they are to be carried out."""

from typing import NamedTuple, TypeAlias

from director.wire import ToWorker


class Send(NamedTuple):
    """Say something to a worker, named as in its `Hello`; one that has left hears nothing."""

    worker: str
    message: ToWorker


class Swap(NamedTuple):
    """`Store.swap`; tell the outcome by `swapped`, or `store_failed`. There is one of `Swap` and `Read` for a user at
    a time."""

    user: str
    expected: bytes | None
    new: bytes | None
    ttl: float | None


class Read(NamedTuple):
    """`Store.read`; tell the outcome by `was_read`, or `store_failed`."""

    user: str


class Probe(NamedTuple):
    """Ask a backend now whether it is well; tell the outcome by `probed`."""

    backend: str


class Vote(NamedTuple):
    """`Store.vote`: how this node sees a backend."""

    backend: str
    up: bool


class SetAdmin(NamedTuple):
    """`Store.set_admin`: the operator's word about a backend."""

    backend: str
    state: str


class Publish(NamedTuple):
    """`Store.publish`: a hint for the other nodes. It comes back to this one as well."""

    message: bytes


class Count(NamedTuple):
    """`Store.count`: this node's share of a counter; tell all shares by `counted`."""

    key: str
    value: int


class Scan(NamedTuple):
    """`Store.scan`, of one backend's users or of all (""); tell what it yields by `scanned`, with the same purpose, and
    its end by `scan_done`."""

    purpose: str
    backend: str


class AskGate(NamedTuple):
    """Ask the sync gate whether a backend has caught up; tell its word by `gate_said`, with the same `asked_at`."""

    home: str
    asked_at: float


class AskDrained(NamedTuple):
    """Ask a backend whether all sessions of a user have ended there; tell its word by `drained_said`."""

    user: str
    backend: str


class Note(NamedTuple):
    """Tell the operator; `level` is one of logging's."""

    level: int
    text: str


Action: TypeAlias = Send | Swap | Read | Probe | Vote | SetAdmin | Publish | Count | Scan | AskGate | AskDrained | Note
