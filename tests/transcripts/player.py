"""Playing a conversation to a dialogue, in four chunkings, without an event loop."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.imap.login import ImapLogin
from proxy.protocols.imap.preauth import ImapPreauth
from proxy.protocols.limits import Limits
from proxy.protocols.login import Login, Order
from proxy.protocols.managesieve.login import ManageSieveLogin
from proxy.protocols.managesieve.preauth import ManageSievePreauth
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.origin import Origin
from proxy.protocols.pop3.login import Pop3Login
from proxy.protocols.pop3.preauth import Pop3Preauth
from proxy.protocols.preauth import Ended, Offer, Preauth, Welcome
from proxy.protocols.secret import Secret
from proxy.protocols.wire import EndOfStream, WireFailure

from .script import Conversation, Step, words

PREAUTHS: Mapping[str, type[Preauth]] = {"imap": ImapPreauth, "pop3": Pop3Preauth, "managesieve": ManageSievePreauth}
LOGINS: Mapping[str, type[Login]] = {"imap": ImapLogin, "pop3": Pop3Login, "managesieve": ManageSieveLogin}

#: What the order of a backend conversation with the option `origin` says of the client.
ORIGIN = Origin("192.0.2.1", 40000, "203.0.113.7", 993, "abc123", 6, tls=True)

Chunks = list[bytes | None]


def lockstep(pieces: Iterable[bytes | None]) -> Chunks:
    """Every line comes only when it is asked for."""
    return list(pieces)


def whole(pieces: Iterable[bytes | None]) -> Chunks:
    """Everything at once, as far as a TLS handshake does not lie between."""
    return [b"".join(filter(None, run_)) or None for _, run_ in groupby(pieces, key=lambda piece: piece is None)]


def in_threes(pieces: Iterable[bytes | None]) -> Chunks:
    """Three bytes at a time."""
    return list(_cut(pieces, 3))


def byte_by_byte(pieces: Iterable[bytes | None]) -> Chunks:
    """One byte at a time."""
    return list(_cut(pieces, 1))


def _cut(pieces: Iterable[bytes | None], size: int) -> Iterator[bytes | None]:
    for chunk in whole(pieces):
        if chunk is None:
            yield None
        else:
            yield from (chunk[at : at + size] for at in range(0, len(chunk), size))


Chunking = Callable[[Iterable[bytes | None]], Chunks]
CHUNKINGS: tuple[Chunking, ...] = (lockstep, whole, in_threes, byte_by_byte)


class Recorder(MemoryWire):
    """A wire that remembers in which order things were said, read, reported and ordered."""

    def __init__(self, chunks: Chunks, us: str, peer: str, *, secure: bool, certificate_user: str) -> None:
        super().__init__(chunks, secure=secure, certificate_user=certificate_user)
        self.steps: list[Step] = []
        self._us = us
        self._peer = peer

    async def send(self, data: bytes) -> None:
        await super().send(data)
        *lines, end = data.split(b"\r\n")
        assert end == b"", f"what is sent ends with a line: {data!r}"
        self.steps += [Step(self._us, line) for line in lines]

    def report(self, event: str, **values: bytes) -> None:
        """Note an event and those of its values that are not empty."""
        parts = [event.encode(), *(b"%b=%b" % (key.encode(), value) for key, value in values.items() if value)]
        self.steps.append(Step("!", b" ".join(parts)))

    def _next(self) -> bytes:
        who = "T" if self._chunks[0] is None else self._peer
        data = super()._next()
        self.steps.append(Step(who, data))
        return data


def play(conversation: Conversation, chunking: Chunking) -> None:
    """Play it, and hold what happens against what is written."""
    protocol, side = conversation.file.removesuffix(".txt").split("-")[:2]
    us, peer = ("S", "C") if side == "client" else ("V", "B")
    pieces = [None if step.who == "T" else step.data for step in conversation.steps if step.who in f"{peer}TL"]
    options = conversation.options
    wire = Recorder(
        chunking(pieces),
        us,
        peer,
        secure="secure" in options,
        certificate_user=options.get("certificate", ""),
    )
    if side == "client":
        run(_client_side(PREAUTHS[protocol](wire, _offer(options), trusted="trusted" in options), wire, conversation))
    else:
        run(_backend_side(LOGINS[protocol](wire, _order(options), limits(options)), wire, "starttls" in options))
    _compare(conversation, wire, us if chunking is not lockstep else us + peer + "T")


def _compare(conversation: Conversation, wire: Recorder, spoken: str) -> None:
    expected = [step for step in conversation.steps if step.who in f"{spoken}!>"]
    happened = [step for step in wire.steps if step.who in f"{spoken}!>"]
    for index, (one, other) in enumerate(zip(expected, happened, strict=False)):
        if one.met_by(other):
            expected[index] = other
    if happened != expected:
        difference = "\n".join(difflib.ndiff([str(step) for step in expected], [str(step) for step in happened]))
        raise AssertionError(
            f"{conversation.file}: {conversation.title}: not as written (-), but so (+):\n{difference}"
        )
    left = b"".join(step.data for step in conversation.steps if step.who == "L")
    accepted = any(step.data.startswith((b"accept", b"Welcome")) for step in wire.steps if step.who in ">!")
    if left or accepted:
        assert wire.rest() == left, f"{conversation.file}: {conversation.title}: something else is left over"


def limits(options: Mapping[str, str]) -> Limits:
    """The default limits but for options like `limit.line=512`."""
    return Limits(**{key[6:]: int(value) for key, value in options.items() if key.startswith("limit.")})


def _offer(options: Mapping[str, str]) -> Offer:
    return Offer(
        limits(options),
        mechanisms=tuple(options.get("mechanisms", "PLAIN,LOGIN").split(",")),
        starttls="starttls" in options,
        plaintext="plaintext" in options,
        sieve_extensions=options.get("extensions", "").replace(",", " "),
    )


def _order(options: Mapping[str, str]) -> Order:
    return Order(
        options.get("user", "alice"),
        Secret(options.get("secret", "secret").encode()),
        options.get("mechanism", "PLAIN"),
        options.get("master", ""),
        ORIGIN if "origin" in options else None,
    )


async def _client_side(preauth: Preauth, wire: Recorder, conversation: Conversation) -> None:
    """What a session does with its client's conversation, on the orders of the transcript."""
    orders = [step for step in conversation.steps if step.who == ">"]
    await preauth.greet()
    try:
        while await _attempt(preauth, wire, orders):
            pass
    except EndOfStream:
        if orders and orders[0].data.startswith(b"bye "):
            wire.steps.append(orders[0])
            await preauth.bye(Kind[words(orders[0].data)[0].split()[1]])
    except Ended:
        wire.report("Ended")
    except WireFailure as failure:
        wire.report(type(failure).__name__)


async def _attempt(preauth: Preauth, wire: Recorder, orders: list[Step]) -> bool:
    """Whether the conversation goes on after the next attempt."""
    attempt = await _next_attempt(preauth, wire)
    if attempt is None:
        raise Ended
    wire.report(f"Attempt {attempt.mechanism}", **_revealed(attempt))
    order = orders.pop(0)
    wire.steps.append(order)
    what, values = words(order.data)
    if what == "accept":
        untagged = values.get("untagged", "").encode()
        await wire.send(preauth.accept(Welcome(values.get("code", ""), values.get("known", ""), untagged)))
        return False
    kind = Kind[what.removeprefix("refuse ")]
    failure = Failure(kind, "a detail", code=values.get("code", ""), text=values.get("text", ""))
    await preauth.refuse(failure, attempt.mechanism)
    return True


async def _next_attempt(preauth: Preauth, wire: Recorder) -> Attempt | None:
    """As `preauth.attempt`, but report what a trusted proxy and the client have said about themselves."""
    preauth.client_id = ""
    try:
        return await preauth.attempt()
    finally:
        if preauth.hop is not None:
            hop, preauth.hop = preauth.hop, None
            values = {"address": hop.address, "port": hop.port, "session": hop.session, "ttl": hop.ttl}
            wire.report("Hop", **{key: str(value).encode() for key, value in values.items() if value is not None})
        if preauth.client_id:
            wire.report("Client", id=preauth.client_id.encode())


def _revealed(attempt: Attempt) -> dict[str, bytes]:
    return {"user": attempt.user, "secret": attempt.secret.reveal(), "authzid": attempt.authzid}


async def _backend_side(login: Login, wire: Recorder, starttls: bool) -> None:
    """What a session does with its backend, and what it learns."""
    try:
        await login.greeting()
        if starttls:
            await login.secure()
        welcome = await login.authenticate()
    except Failure as failure:
        wire.report(f"Failure {failure.kind.name}", code=failure.code.encode())
    except WireFailure as failure:
        wire.report(type(failure).__name__)
    else:
        wire.report("Welcome", code=welcome.code.encode(), known=welcome.known.encode(), untagged=welcome.untagged)
    if login.forwarded:
        wire.report("Forwarded")
