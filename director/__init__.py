"""Which backend serves which user: shards, health, assignments and leases."""

from director.assignments import Lease
from director.choice import Why, rank
from director.errors import DirectorError, NoBackend, NoRoom, NoShard
from director.health import State
from director.service import BACKEND_DOWN, ROUTE_CHANGED, Candidate, Decision, Director
from director.settings import BackendSettings, DirectorSettings, ShardSettings
from director.shards import Backend, Shard, Shards, shard_faults

__all__ = [
    "BACKEND_DOWN",
    "ROUTE_CHANGED",
    "Backend",
    "BackendSettings",
    "Candidate",
    "Decision",
    "Director",
    "DirectorError",
    "DirectorSettings",
    "Lease",
    "NoBackend",
    "NoRoom",
    "NoShard",
    "Shard",
    "ShardSettings",
    "Shards",
    "State",
    "Why",
    "rank",
    "shard_faults",
]
