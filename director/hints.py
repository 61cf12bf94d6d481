"""What nodes tell each other through the store's messages: each a hint, for all of it is also found by looking."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import DecodeError, Struct
from msgspec.msgpack import Decoder, Encoder

from director.store import MAX_MESSAGE

_USERS: Final = 400
"""Users named in one message; names are bounded before they come here."""


class Changed(Struct, frozen=True, array_like=True, tag=1):
    """The records of these users have changed in a way that others may wait for."""

    node: str
    users: list[str]


class Voted(Struct, frozen=True, array_like=True, tag=2):
    """The node has found that a backend is up or down, and will say so in the store."""

    node: str
    backend: str
    up: bool


class Admin(Struct, frozen=True, array_like=True, tag=3):
    """The operator's word about a backend has changed."""

    node: str
    backend: str
    state: str


class KickAll(Struct, frozen=True, array_like=True, tag=4):
    """End the sessions of a user, an address or a backend on all nodes."""

    node: str
    target: str


Hint: TypeAlias = Changed | Voted | Admin | KickAll

_encoder: Final = Encoder()
_decoder: Final[Decoder[Hint]] = Decoder(Hint)


def encode(hint: Hint) -> bytes:
    """Return the message."""
    return _encoder.encode(hint)


def decode(message: bytes) -> Hint | None:
    """Read a message; None for one that is not ours, or of another version."""
    try:
        return _decoder.decode(message)
    except DecodeError:
        return None


def changed(node: str, users: Sequence[str]) -> list[bytes]:
    """Return messages that name all these users."""
    messages = [encode(Changed(node, list(users[start : start + _USERS]))) for start in range(0, len(users), _USERS)]
    return [message for message in messages if len(message) <= MAX_MESSAGE]
