"""Clients that come, do one thing and go: POP3 drains, script uploads, telephones, and wrong passwords."""

from __future__ import annotations

from loadtest.fleet import contents
from loadtest.fleet.clients import Visitor
from loadtest.fleet.hearing import Refused, Trouble
from loadtest.fleet.imap import Imap
from loadtest.fleet.managesieve import ManageSieve
from loadtest.fleet.pop3 import Pop3
from loadtest.fleet.readers import fetch_one, opened

AT_ONCE = 10
"""Messages that one visit drains."""

WRONG = "wrong"
"""The password nobody has."""

PIPELINED = 50
"""Commands that a pipeliner sends in one go."""


async def drain(visitor: Visitor) -> None:
    """POP3: retrieve some messages, compare them, delete them."""
    session = await visitor.log_in(Pop3)
    count, _ = await session.stat()
    identifiers = await session.uidl()
    if len(identifiers) != count:
        raise Trouble("retrieve: STAT and UIDL do not agree", f"{count} and {len(identifiers)}")
    for number in range(1, min(count, AT_ONCE) + 1):
        await _take(visitor, session, number)
    await session.logout()


async def _take(visitor: Visitor, session: Pop3, number: int) -> None:
    tally = visitor.fleet.tally
    began = visitor.fleet.engine.now()
    raw = await session.retrieve(number)
    visitor.took("retrieve", visitor.fleet.engine.now() - began)
    tally.count("retrieved")
    certificate = contents.read(visitor, raw)
    if certificate is not None:
        visitor.fleet.ledger.doomed(visitor.account.user, certificate.serial)
        await session.delete(number)


async def script(visitor: Visitor) -> None:
    """ManageSieve: upload a script, read it again, delete it."""
    session = await visitor.log_in(ManageSieve)
    name = f"loadtest-{visitor.client.number}"
    text = _script(visitor.random.randint(1, 200))
    began = visitor.fleet.engine.now()
    await session.put(name, text)
    visitor.took("script", visitor.fleet.engine.now() - began)
    visitor.fleet.tally.count("scripts")
    if await session.get(name) != text:
        visitor.wrong("content: altered script", name)
    if name not in await session.names():
        visitor.wrong("content: a script is not listed", name)
    await session.delete(name)
    await session.logout()


def _script(rules: int) -> bytes:
    rule = 'if header :contains "subject" "number {0}" {{ addflag "\\\\Flagged"; }}\r\n'
    return b'require "imap4flags";\r\n' + "".join(rule.format(number) for number in range(rules)).encode()


async def phone(visitor: Visitor) -> None:
    """A look at the newest message; then the network is gone. TLS is resumed at the next visit."""
    session = await opened(visitor)
    tally, connection = visitor.fleet.tally, visitor.connection
    assert connection is not None  # noqa: S101 (logged in)
    if visitor.ticket is not None:
        tally.count("resumed" if connection.resumed else "not resumed")
    if session.exists:
        await fetch_one(visitor, session, str(session.exists))
    visitor.ticket = connection.session
    await session.rest(visitor.fleet.engine.now() + visitor.around(visitor.fleet.scenario.pace.glance))
    visitor.vanish()


async def wrong(visitor: Visitor) -> None:
    """A login with a password that is not the user's, which has to be refused."""
    now, began = visitor.fleet.engine.now, visitor.fleet.engine.now()
    try:
        await visitor.log_in(Imap, WRONG)
    except Refused as refused:
        if visitor.phase != "login":
            raise
        if "AUTHENTICATIONFAILED" not in str(refused).upper():
            raise Trouble("wrong password: another answer", str(refused)) from None
        visitor.took("refusal", now() - began)
        visitor.fleet.tally.count("wrong passwords refused")
    else:
        visitor.wrong("a wrong password was let in", visitor.account.user)


async def pipeliner(visitor: Visitor) -> None:
    """Many commands in one go, all of which have to be answered, in their order."""
    session = await visitor.log_in(Imap)
    answered = await session.pipeline(PIPELINED)
    if answered != PIPELINED:
        raise Trouble("pipeline: answers are missing", f"{answered} of {PIPELINED}")
    visitor.fleet.tally.count("pipelined", answered)
    await session.logout()
