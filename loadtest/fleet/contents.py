"""Whether a message is what it has to be: ours, whole, and of the user who reads it."""

from __future__ import annotations

from loadtest.content import Certificate, certify
from loadtest.fleet.clients import Visitor


def read(visitor: Visitor, raw: bytes) -> Certificate | None:
    """What a message that was fetched says of itself; None if it is not ours, or not what it has to be.

    What is wrong is noted. Real servers hold other mail as well: that is counted, and nothing is expected of it.
    """
    certificate = certify(raw)
    if certificate is None and visitor.fleet.target.known:
        visitor.wrong("content: not of the load test", raw[:80].decode(errors="replace"))
    elif certificate is None:
        visitor.fleet.tally.count("other mail")
    elif certificate.user != visitor.account.user:
        visitor.wrong("content: another user's mail", f"got number {certificate.serial} of {certificate.user}")
    elif not certificate.intact:
        visitor.wrong("content: altered", f"number {certificate.serial}, {len(raw)} bytes")
    else:
        visitor.fleet.tally.count("messages compared")
        return certificate
    return None
