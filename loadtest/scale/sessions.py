"""One session of the scale test: it logs in, idles, hears of new mail, fetches and compares it, and stays."""

from __future__ import annotations

from loadtest.fleet import contents, readers
from loadtest.fleet.clients import Visitor
from loadtest.fleet.hearing import RunOver, Trouble, trouble
from loadtest.fleet.imap import Imap
from proxy.protocols.wire import WireFailure

RENEW = 1140.0
"""Mean seconds of an IDLE that hears nothing: 9.5 to 28.5 minutes (RFC 2177 wants less than 29)."""

IDLING = "idling"


async def arrive(visitor: Visitor) -> Imap | None:
    """Log in and open the INBOX; None when that failed, which is noted."""
    try:
        return await readers.opened(visitor)
    except (Trouble, WireFailure) as failure:
        _note(visitor, failure)
        visitor.fleet.tally.count("not opened")
        visitor.part()
        visitor.be("")
        return None


async def stay(visitor: Visitor, session: Imap) -> None:
    """Idle until `RunOver` is raised in here; whatever else ends it is noted, and counted as dropped."""
    try:
        await _idle(visitor, session)
    except RunOver:
        visitor.leave()
    except (Trouble, WireFailure) as failure:
        _note(visitor, failure)
        visitor.fleet.tally.count("dropped")
        visitor.part()
    finally:
        visitor.be("")


async def _idle(visitor: Visitor, session: Imap) -> None:
    seen, now = session.exists, visitor.fleet.engine.now
    visitor.be(IDLING)
    while True:
        if session.exists <= seen:
            await session.idle(now() + visitor.around(RENEW))
        if session.exists > seen:
            first, seen = seen + 1, session.exists
            await _fetch(visitor, session, first, seen)


async def _fetch(visitor: Visitor, session: Imap, first: int, last: int) -> None:
    """Each message counts for itself: one that was announced late makes a long latency, not none."""
    found = await session.fetch(f"{first}:{last}")
    came = visitor.fleet.engine.now()
    visitor.fleet.tally.count("pushed", len(found))
    if len(found) != last - first + 1:
        visitor.wrong("push: announced, and not there", f"{len(found)} of {last - first + 1}")
    for raw in found:
        certificate = contents.read(visitor, raw)
        if certificate is not None:
            visitor.took("push", came - certificate.sent)


def _note(visitor: Visitor, failure: Trouble | WireFailure) -> None:
    found = failure if isinstance(failure, Trouble) else trouble(visitor.phase, failure)
    visitor.fails(found.kind, str(found))
