"""Which backend serves which user: the director of a node, what workers know of it, and the settings of both."""

from director.asking import Refused, Unanswered, ask
from director.choice import Why, choose, rank
from director.client import Client
from director.console import Console
from director.core import Core
from director.decision import Decision, decide
from director.desk import Desk
from director.door import LINGER
from director.entries import EntryFault, ShardEntries
from director.errors import (
    DirectorError,
    Limited,
    NoBackend,
    NoDirector,
    NoRoom,
    NoShard,
    Unreachable,
    Unreadable,
    Waited,
)
from director.figures import figures
from director.gate import Gate
from director.lease import Lease
from director.meters import (
    ADMIN_STATES,
    GATE_WORDS,
    GRANTS,
    KICKS,
    LIMITS,
    MOVE_OUTCOMES,
    MOVE_STEPS,
    NO_METERS,
    REFUSALS,
    STANDINGS,
    STORE_OPERATIONS,
    GateWord,
    Meters,
    StoreOperation,
)
from director.sections import BackendSettings, HealthSettings, ShardSettings
from director.service import Service, StoreState
from director.settings import MEMORY, DirectorSettings
from director.shards import Backend, Shard, Shards, shard_faults
from director.stores.opening import near as near_store
from director.stores.opening import open_store

__all__ = [
    "ADMIN_STATES",
    "GATE_WORDS",
    "GRANTS",
    "KICKS",
    "LIMITS",
    "LINGER",
    "MEMORY",
    "MOVE_OUTCOMES",
    "MOVE_STEPS",
    "NO_METERS",
    "REFUSALS",
    "STANDINGS",
    "STORE_OPERATIONS",
    "Backend",
    "BackendSettings",
    "Client",
    "Console",
    "Core",
    "Decision",
    "Desk",
    "DirectorError",
    "DirectorSettings",
    "EntryFault",
    "Gate",
    "GateWord",
    "HealthSettings",
    "Lease",
    "Limited",
    "Meters",
    "NoBackend",
    "NoDirector",
    "NoRoom",
    "NoShard",
    "Refused",
    "Service",
    "Shard",
    "ShardEntries",
    "ShardSettings",
    "Shards",
    "StoreOperation",
    "StoreState",
    "Unanswered",
    "Unreachable",
    "Unreadable",
    "Waited",
    "Why",
    "ask",
    "choose",
    "decide",
    "figures",
    "near_store",
    "open_store",
    "rank",
    "shard_faults",
]
