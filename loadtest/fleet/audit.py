"""The audit after a run: whether all mail that a server has acknowledged is in its mailbox."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest.fleet.clients import Fleet, Visitor
from loadtest.fleet.hearing import RunOver, Trouble, trouble
from loadtest.fleet.population import Client
from loadtest.fleet.readers import opened
from proxy.protocols.wire import WireFailure

AT_ONCE = 32
"""Mailboxes that one process looks into at the same time."""

TRIES = 3
"""Times that a mailbox is tried to be opened."""

PAUSE = 1.0
"""Seconds between two tries."""


def begin(fleet: Fleet, users: list[int]) -> None:
    """Spawn the audit of these users, by their numbers."""
    waiting = iter(users)
    for _ in range(AT_ONCE):
        fleet.engine.spawn(_look_through(fleet, waiting))


async def _look_through(fleet: Fleet, users: Iterator[int]) -> None:
    for user in users:
        visitor = Visitor(fleet, Client(user, user, "audit", 0.0), aside=True)
        try:
            await _audit(visitor)
        except RunOver:
            return
        finally:
            visitor.leave()
            visitor.be("")


async def _audit(visitor: Visitor) -> None:
    for attempt in range(TRIES):
        try:
            await _compare(visitor)
        except (Trouble, WireFailure) as failure:
            found = failure if isinstance(failure, Trouble) else trouble(visitor.phase, failure)
            visitor.leave()
            if attempt == TRIES - 1:
                visitor.fails(f"audit: {found.kind}", str(found))
            else:
                await visitor.fleet.engine.sleep(PAUSE)
        else:
            return


async def _compare(visitor: Visitor) -> None:
    fleet, user = visitor.fleet, visitor.account.user
    session = await opened(visitor)
    found = await session.serials("1:*") if session.exists else {}
    missing = fleet.ledger.missing(user, found)
    for serial in missing:
        visitor.wrong("content: acknowledged mail is lost", f"number {serial}")
    fleet.tally.count("audited users")
    fleet.tally.count("audited messages", len(fleet.ledger.expected(user)) - len(missing))
