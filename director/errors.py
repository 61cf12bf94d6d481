"""Why a user cannot be given a backend.

DirectorError
├── NoShard       the directory names a shard that we do not have: a matter for the operator
├── NoBackend     no backend of the shard may be used
├── Unreachable   this node cannot reach the user's backend, but others can
├── Waited        the user was being moved for longer than a login may wait
├── NoRoom        more users are connected than max_assignments
├── Unreadable    the store has something that cannot be read: a matter for the operator
├── Limited       there are too many sessions of the user, the address, or the user from that address
└── NoDirector    the director is not there, or does not answer in time

`retry_helps` says whether the same login may succeed a little later.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self, TypeAlias

from director.wire import Reason

SessionLimit: TypeAlias = Literal["user", "address", "pair"]


class DirectorError(Exception):
    """No backend can be given; nothing has changed.

    `wait` is after how many seconds another try may help, 0 if nobody knows. The text is for the log.
    """

    retry_helps: ClassVar[bool] = True

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class NoShard(DirectorError):
    """The value is neither the name of a shard nor the name or host of a backend, or the host of backends in two
    shards."""

    retry_helps = False

    @classmethod
    def called(cls, value: str) -> Self:
        """The error for what a user's entry says."""
        return cls(f"no shard is called {value!r} and none alone has a backend of this name or host")


class NoBackend(DirectorError):
    """No backend of the shard may be used now."""


class Unreachable(DirectorError):
    """This node cannot reach the user's backend, but others can: the user must not be split over two."""


class Waited(DirectorError):
    """The user was being moved for longer than a login may wait."""


class NoRoom(DirectorError):
    """As many users have sessions as max_assignments allows."""


class Unreadable(DirectorError):
    """The store has something that cannot be read."""

    retry_helps = False


class Limited(DirectorError):
    """There are too many sessions; `limit` says of whom: "user", "address", or "pair", the user from that address."""

    def __init__(self, limit: SessionLimit, text: str, wait: float = 0.0) -> None:
        super().__init__(text, wait)
        self.limit: Final = limit


class NoDirector(DirectorError):
    """The director is not there, or does not answer in time."""


_ERRORS: Final[Mapping[Reason, type[DirectorError]]] = {
    "no_shard": NoShard,
    "no_backend": NoBackend,
    "unreachable": Unreachable,
    "waited": Waited,
    "full": NoRoom,
    "store": Unreadable,
}

_LIMITS: Final[Mapping[Reason, SessionLimit]] = {
    "limit_user": "user",
    "limit_address": "address",
    "limit_pair": "pair",
}


def refusal(reason: Reason, text: str, wait: float = 0.0) -> DirectorError:
    """The error for a reason that the director gives."""
    if reason in _LIMITS:
        return Limited(_LIMITS[reason], text, wait)
    return _ERRORS[reason](text, wait)
