"""What the directory counts and times; the process that uses it says where to."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

Operation = Literal["connect", "search", "bind"]
"""`connect` is everything until a connection is usable: name, TCP, TLS, and the bind of the service identity."""

Outcome = Literal["ok", "refused", "unavailable", "misconfigured", "timeout"]
"""`refused`: the server judged (wrong password, locked, unknown, ambiguous). `timeout`: no answer in time."""

Source = Literal["live", "mirror", "cache", "stale", "missing"]
"""Where a user was found: asked for now, kept, kept longer than wanted as no server answered; or nowhere."""

Remembered = Literal["accepted", "refused", "unknown"]
"""What memory said to a password when no server answered."""

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SOURCES: tuple[Source, ...] = get_args(Source)
REMEMBERED: tuple[Remembered, ...] = get_args(Remembered)


class Meters(Protocol):
    """Called on the way of every login: each call has to be cheap and must not raise."""

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
        """An operation ended. `server` is `str(Address)`; the time runs from sending, not from queueing."""
        ...

    def waited(self, seconds: float) -> None:
        """Somebody had to wait for a free connection, and got one or gave up; who need not wait is not counted."""
        ...

    def answered(self, source: Source) -> None:
        """A user was looked for and found there."""
        ...

    def remembered(self, outcome: Remembered) -> None:
        """A password was compared with a remembered one."""
        ...


class _NoMeters:
    """Counts nothing."""

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
        pass

    def waited(self, seconds: float) -> None:
        pass

    def answered(self, source: Source) -> None:
        pass

    def remembered(self, outcome: Remembered) -> None:
        pass


NO_METERS: Meters = _NoMeters()
