"""What is measured of the director, and all words by which it is told apart; `proxy` shows it as metrics."""

from typing import Final, Literal, Protocol, TypeAlias, get_args

from director.choice import Why
from director.core import KICKED
from director.fleet import Admin
from director.limits import Limit
from director.moves import Outcome, Step
from director.settling import BACKEND_DOWN, ELSEWHERE, MOVED
from director.votes import Standing
from director.wire import Reason

StoreOperation: TypeAlias = Literal["swap", "read", "beat", "vote", "admin", "count", "publish"]
GateWord: TypeAlias = Literal["synced", "behind", "silent"]
"""silent: it could not be asked, which counts as behind."""

STORE_OPERATIONS: Final[tuple[str, ...]] = get_args(StoreOperation)
GATE_WORDS: Final[tuple[str, ...]] = get_args(GateWord)
STANDINGS: Final[tuple[str, ...]] = get_args(Standing)
ADMIN_STATES: Final[tuple[str, ...]] = get_args(Admin)
MOVE_STEPS: Final[tuple[str, ...]] = ("waiting", *get_args(Step))
MOVE_OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
KICKS: Final[tuple[str, ...]] = (MOVED, BACKEND_DOWN, ELSEWHERE, KICKED)
GRANTS: Final[tuple[str, ...]] = get_args(Why)
REFUSALS: Final[tuple[str, ...]] = get_args(Reason)
LIMITS: Final[tuple[str, ...]] = tuple(limit for limit in get_args(Limit) if limit)


class Meters(Protocol):
    """Takes what has been measured; times are seconds."""

    def store(self, operation: StoreOperation, answered: bool, seconds: float) -> None:
        """The store was asked. One in memory answers at once, and is not measured but counted."""
        ...

    def probed(self, backend: str, good: bool) -> None:
        """A backend was asked whether it is well."""
        ...

    def gate(self, word: GateWord) -> None:
        """The sync gate was asked whether a backend has caught up."""
        ...

    def assigned(self, seconds: float) -> None:
        """A session had its answer after so long."""
        ...

    def lagged(self, seconds: float) -> None:
        """The loop came so late to its tick."""
        ...


class _NoMeters:
    """Counts nothing."""

    def store(self, operation: StoreOperation, answered: bool, seconds: float) -> None:
        """Nothing."""

    def probed(self, backend: str, good: bool) -> None:
        """Nothing."""

    def gate(self, word: GateWord) -> None:
        """Nothing."""

    def assigned(self, seconds: float) -> None:
        """Nothing."""

    def lagged(self, seconds: float) -> None:
        """Nothing."""


NO_METERS: Final[Meters] = _NoMeters()
