"""Why a user cannot be given a backend.

DirectorError
├── NoShard       the directory names a shard that we do not have: a matter for the operator
├── NoBackend     all backends of the shard are down: trying again later helps
└── NoRoom        more users are connected than max_assignments: trying again later helps
"""


class DirectorError(Exception):
    """No backend can be given; nothing has changed."""


class NoShard(DirectorError):
    """`value` is neither the name of a shard nor the name or host of a backend, or the host of backends in two
    shards."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return f"no shard is called {self.value!r} and none alone has a backend of this name or host"


class NoBackend(DirectorError):
    """Every backend of the shard called `shard` is down, and none of them is due for another try."""

    def __init__(self, shard: str) -> None:
        super().__init__(shard)
        self.shard = shard

    def __str__(self) -> str:
        return f"all backends of shard {self.shard!r} are down"


class NoRoom(DirectorError):
    """`limit` users have sessions, as many as max_assignments allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.limit} users have sessions, more are not remembered (max_assignments)"
