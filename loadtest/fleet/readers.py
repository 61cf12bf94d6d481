"""IMAP clients that stay: those who idle, poll, read and write."""

from __future__ import annotations

from loadtest.content import compose
from loadtest.fleet import contents
from loadtest.fleet.clients import Visitor
from loadtest.fleet.imap import Imap

NEWEST = 8
"""Messages at the end of a mailbox among which a client looks for the one it has just written."""

_SMALLEST = 500


async def idle(visitor: Visitor) -> None:
    """IDLE; what is announced is fetched, compared, and IDLE begun anew."""
    session = await opened(visitor)
    engine, pace = visitor.fleet.engine, visitor.fleet.scenario.pace.idle
    while True:
        seen = session.exists
        visitor.be("idling")
        await session.idle(engine.now() + visitor.around(pace))
        visitor.be("imap")
        if session.exists > seen:
            await _fetch_new(visitor, session, seen + 1)


async def poll(visitor: Visitor) -> None:
    """NOOP and STATUS in turn, now and then."""
    session = await opened(visitor)
    while True:
        await _timed(visitor, "noop", session)
        await _rest(visitor, session, visitor.fleet.scenario.pace.poll)
        await session.status()


async def read(visitor: Visitor) -> None:
    """FETCH of any message."""
    session = await opened(visitor)
    while True:
        if session.exists:
            await fetch_one(visitor, session, str(visitor.random.randint(1, session.exists)))
        await _rest(visitor, session, visitor.fleet.scenario.pace.read)
        await session.noop()


async def write(visitor: Visitor) -> None:
    """APPEND, and FETCH of what was written."""
    session = await opened(visitor)
    while True:
        await write_one(visitor, session)
        await _rest(visitor, session, visitor.fleet.scenario.pace.write)


async def opened(visitor: Visitor) -> Imap:
    """A session with its INBOX open."""
    session = await visitor.log_in(Imap)
    began = visitor.fleet.engine.now()
    await session.select()
    visitor.took("select", visitor.fleet.engine.now() - began)
    return session


async def fetch_one(visitor: Visitor, session: Imap, which: str, *, by_uid: bool = False) -> int:
    """Fetch a message and compare it; its serial, or -1 for one that is not there or not ours."""
    began = visitor.fleet.engine.now()
    found = await session.fetch(which, by_uid=by_uid)
    visitor.took("fetch", visitor.fleet.engine.now() - began)
    visitor.fleet.tally.count("fetched", len(found))
    if not found and not visitor.fleet.ledger.deletes(visitor.account.user):
        visitor.fails("fetch: nothing came", f"message {which} of {session.exists}")
    certificates = [contents.read(visitor, raw) for raw in found]
    return certificates[0].serial if certificates and certificates[0] is not None else -1


async def write_one(visitor: Visitor, session: Imap) -> None:
    """Append a message, and read it again."""
    fleet, user = visitor.fleet, visitor.account.user
    serial = fleet.ledger.serial()
    size = max(_SMALLEST, int(visitor.random.expovariate(1 / fleet.scenario.message)))
    message = compose(user, serial, size, fleet.engine.now())
    began = fleet.engine.now()
    uid = await session.append(message)
    visitor.took("append", fleet.engine.now() - began)
    fleet.tally.count("appended")
    fleet.ledger.acknowledged(user, serial)
    await _read_back(visitor, session, serial, uid)


async def _read_back(visitor: Visitor, session: Imap, serial: int, uid: int) -> None:
    ledger, user = visitor.fleet.ledger, visitor.account.user
    if not uid:
        await session.noop()
        uid = (await session.serials(f"{max(1, session.exists - NEWEST)}:*")).get(serial, 0)
    got = await fetch_one(visitor, session, str(uid), by_uid=True) if uid else -1
    if got != serial and serial in ledger.expected(user) and not ledger.deletes(user):
        visitor.wrong("content: written mail is not there", f"number {serial}, found {got} instead")


async def _fetch_new(visitor: Visitor, session: Imap, first: int) -> None:
    fleet = visitor.fleet
    began = fleet.engine.now()
    found = await session.fetch(f"{first}:*")
    came = fleet.engine.now()
    visitor.took("fetch", came - began)
    fleet.tally.count("fetched", len(found))
    fleet.tally.count("pushed")
    for raw in found:
        certificate = contents.read(visitor, raw)
        if certificate is not None and certificate.sent and raw is found[-1]:
            visitor.took("push", came - certificate.sent)


async def _timed(visitor: Visitor, phase: str, session: Imap) -> None:
    began = visitor.fleet.engine.now()
    await session.noop()
    visitor.took(phase, visitor.fleet.engine.now() - began)
    visitor.fleet.tally.count("polled")


async def _rest(visitor: Visitor, session: Imap, mean: float) -> None:
    await session.rest(visitor.fleet.engine.now() + visitor.around(mean))
