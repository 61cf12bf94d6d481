"""Where a user would go as far as the configuration says: what is down and where users are is not known here."""

from dataclasses import dataclass

from director.choice import Why, choose, rank
from director.errors import NoBackend, NoShard
from director.shards import Backend, Shards


@dataclass(frozen=True, slots=True)
class Decision:
    """What a user's first login would get if every backend were up: `candidates` in the order of `rank`, and why the
    one that was `chosen`."""

    shard: str
    candidates: tuple[Backend, ...]
    chosen: Backend
    why: Why


def decide(user: str, shard_value: str, preferred: str, shards: Shards) -> Decision:
    """Return where a user who is assigned nowhere would go.

    `user` is the canonical name. `shard_value` is what the user's entry says: the name of a shard, or the name or host
    of one of its backends. `preferred` is the name or host of a backend that goes first; "" for none. Raises NoShard,
    and NoBackend for a shard without any.
    """
    shard = shards.find(shard_value)
    if shard is None:
        raise NoShard.called(shard_value)
    choice = choose(user, shard, preferred, shard.names)
    if choice is None:
        raise NoBackend(f"shard {shard.name!r} has no backend")
    return Decision(shard.name, rank(user, shard, preferred, shard.names), *choice)
