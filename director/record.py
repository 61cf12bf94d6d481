"""One user's assignment as the store keeps it, and everything that may become of it.

A transition takes a record and returns another; it is written by compare-and-set, so of several nodes that act at the
same time one goes first, and the others look again at what it has left.

The rule that all of them keep: the backend changes only when no living node holds the user there, or by `fail_over`,
when the backend is down and what is left on it is being closed.

Stored form: the version "1", backend, shard, epoch (with a "!" for who is pinned), target, the target's shard, and node
and epoch of each hold, all in UTF-8 with a NUL in between. There is one way to write a record, so equal records have
equal bytes.
"""

from collections.abc import Container
from typing import Final, Literal, NamedTuple, TypeAlias

from director.store import BadRecord

MAX_BYTES: Final = 65536
"""No record is larger: some hundred nodes with the longest names."""

_VERSION: Final = "1"
_PINNED: Final = "!"
_FIXED: Final = 6
"""Fields before the holds."""

_MAX_EPOCH: Final = 10**15


class Hold(NamedTuple):
    """A node has leases of the user; the newest were given when the user's epoch was `epoch`.

    `node` stands for one life of a node: one that was dead and starts again has another name. Else it could claim what
    is still written there, and somebody who has just found it dead would take that away unnoticed.
    """

    node: str
    epoch: int


class Record(NamedTuple):
    """A user's assignment.

    `backend` of `shard` serves the user, since the backend last changed, which `epoch` counts from 1. `target` is
    where the user is being moved ("": nowhere), `target_shard` the shard whose backend that is. `holds` has one for
    each node with leases; those of an older epoch are being closed, since the backend they were given for failed.
    `pinned`: an operator wants the user on the target, or on the backend if there is none, whatever is preferred.
    """

    backend: str
    shard: str
    epoch: int
    target: str = ""
    holds: tuple[Hold, ...] = ()
    target_shard: str = ""
    pinned: bool = False

    def encode(self) -> bytes:
        """Return the stored form. Raises ValueError for names with a NUL or too much in all."""
        backend, shard, epoch, target, holds, target_shard, pinned = self
        fields = [_VERSION, backend, shard, f"{epoch}{_PINNED}" if pinned else str(epoch), target, target_shard]
        for node, held in holds:
            fields += (node, str(held))
        encoded = "\0".join(fields).encode()
        if encoded.count(b"\0") != len(fields) - 1 or len(encoded) > MAX_BYTES:
            raise ValueError("a name has a NUL, or there are too many holds")
        return encoded

    def held_by(self, node: str) -> bool:
        """Whether the node has leases on the present backend, or had when it last said so."""
        return (node, self.epoch) in self.holds

    @property
    def holders(self) -> frozenset[str]:
        """The nodes with leases of any epoch."""
        return frozenset(hold.node for hold in self.holds)


class Stored(NamedTuple):
    """A record and its stored form."""

    record: Record
    raw: bytes


Verdict: TypeAlias = Literal["new", "joined", "moving"]
"""What became of a claim: the user had no assignment; had one, which the node now holds too; is being moved, so the
node does not hold it and looks again when the record changes."""


class Claimed(NamedTuple):
    """The record after a claim: the one before, when the user is being moved."""

    record: Record
    verdict: Verdict


def decode(value: bytes) -> Record:
    """Read the stored form. Raises BadRecord for anything else."""
    if len(value) > MAX_BYTES:
        raise BadRecord("the record is too large")
    try:
        fields = value.decode().split("\0")
    except UnicodeDecodeError:
        raise BadRecord("the record is not in UTF-8") from None
    if fields[0] != _VERSION or len(fields) < _FIXED or len(fields) % 2:
        raise BadRecord("the record is of another version, or none at all")
    _, backend, shard, epoch, target, target_shard, *held = fields
    pinned = epoch.endswith(_PINNED)
    holds = tuple(map(Hold, held[::2], map(_epoch, held[1::2])))
    return _consistent(Record(backend, shard, _epoch(epoch.removesuffix(_PINNED)), target, holds, target_shard, pinned))


def beginning(backend: str) -> bytes:
    """How every record of a user on this backend begins: stores find them by this without reading on."""
    return f"{_VERSION}\0{backend}\0".encode()


def claim(record: Record | None, node: str, backend_if_new: str, shard: str) -> Claimed:
    """Hold the user for a node that has none or only leases of an older epoch, or holds it already."""
    if record is None:
        return Claimed(Record(backend_if_new, shard, 1, holds=(Hold(node, 1),)), "new")
    record = finish_move(record)
    if record.target:
        return Claimed(record, "moving")
    others = tuple(hold for hold in record.holds if hold.node != node)
    return Claimed(record._replace(holds=(*others, Hold(node, record.epoch))), "joined")


def drop(record: Record, node: str) -> Record:
    """Give up a node's hold: it has no lease of the user any more, of any epoch. The last finishes a move."""
    return without(record, (node,))


def enter(record: Record, raw: bytes, node: str) -> Stored:
    """What `claim` makes of a record without a target that the node has no hold in, of any epoch; what is stored of it
    grows by one hold. Raises ValueError if that is too much."""
    backend, shard, epoch, target, holds, target_shard, pinned = record
    stored = raw + _hold(node, epoch)
    if len(stored) > MAX_BYTES:
        raise ValueError("there are too many holds")
    return Stored(Record(backend, shard, epoch, target, (*holds, Hold(node, epoch)), target_shard, pinned), stored)


def leave(record: Record, raw: bytes, node: str) -> Stored:
    """What `drop` makes of a record without a target that the node holds; nearly always its hold is the last."""
    backend, shard, epoch, target, holds, target_shard, pinned = record
    if holds[-1] == (node, epoch):
        rest = raw[: -len(_hold(node, epoch))]
        return Stored(Record(backend, shard, epoch, target, holds[:-1], target_shard, pinned), rest)
    dropped = drop(record, node)
    return Stored(dropped, dropped.encode())


def without(record: Record, dead: Container[str]) -> Record:
    """Give up the holds of nodes that are dead, and finish the move if none is left."""
    return finish_move(record._replace(holds=tuple(hold for hold in record.holds if hold.node not in dead)))


def inherit(record: Record, node: str, heir: str) -> Record:
    """Pass a node's hold on to its next life, whose sessions have outlived the one before."""
    if heir in record.holders:
        return without(record, (node,))
    return record._replace(
        holds=tuple(hold._replace(node=heir) if hold.node == node else hold for hold in record.holds)
    )


def begin_move(record: Record, target: str, shard: str, *, pinned: bool = False) -> Record:
    """Let the user go to another backend, which may be of another shard; at once when nobody holds the user.

    Until then no node gets a new hold. Another move under way is replaced; being there already ends it.
    """
    if target == record.backend:
        return record._replace(shard=shard, target="", target_shard="", pinned=pinned)
    return finish_move(record._replace(target=target, target_shard=shard, pinned=pinned))


def finish_move(record: Record, dead: Container[str] = ()) -> Record:
    """Give the user to the target when no hold is left but those of dead nodes; else nothing changes."""
    if not record.target or any(hold.node not in dead for hold in record.holds):
        return record
    return Record(record.target, record.target_shard, record.epoch + 1, pinned=record.pinned)


def abort_move(record: Record) -> Record:
    """Leave the user where it is."""
    return record._replace(target="", target_shard="", pinned=False)


def fail_over(record: Record, backend: str) -> Record:
    """Give the user to another backend at once, because the present one is down. It ends a move.

    The backend is of the same shard, or the target of the move. Nobody holds the user there before claiming it.
    """
    if backend == record.backend:
        return record
    shard = record.target_shard if backend == record.target else record.shard
    return Record(backend, shard, record.epoch + 1, holds=record.holds)


def _hold(node: str, epoch: int) -> bytes:
    return f"\0{node}\0{epoch}".encode()


def _epoch(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or text.startswith("0") or len(text) > len(str(_MAX_EPOCH)):
        raise BadRecord("an epoch is no number")
    return int(text)


def _consistent(record: Record) -> Record:
    names = {hold.node for hold in record.holds}
    if not record.backend or not record.shard or "" in names or bool(record.target) != bool(record.target_shard):
        raise BadRecord("a name is missing")
    if len(names) < len(record.holds) or any(hold.epoch > record.epoch for hold in record.holds):
        raise BadRecord("a hold is there twice, or newer than its record")
    if record.target == record.backend:
        raise BadRecord("the user is being moved to where it is")
    return record
