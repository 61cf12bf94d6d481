"""What the three protocols share while a client has not logged in: the loop, the patience, the mechanisms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, NoReturn

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.origin import Hop
from proxy.protocols.wire import BareNewline, LineTooLong, Wire

#: Failures that the dialogue itself finds and that count as bad commands.
_COUNTED = frozenset({Kind.INVALID_BASE64})

#: After these the connection is closed, with the protocol's own farewell.
CLOSING = frozenset({Kind.BAD_COMMANDS, Kind.BAD_INPUT, Kind.LOGIN_TIMEOUT, Kind.SHUTDOWN, Kind.MOVED, Kind.INTERNAL})


@dataclass(frozen=True, slots=True)
class Offer:
    """What a listener offers its clients before they log in."""

    limits: Limits
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    starttls: bool = False
    plaintext: bool = False
    sieve_extensions: str = ""


class Welcome(NamedTuple):
    """What the backend said when it accepted the login, as far as the client is to hear of it.

    `code` is the response code of the OK without brackets, `known` the backend's capabilities learnt before, and
    `untagged` the whole lines that came before the OK and belong to the client.
    """

    code: str = ""
    known: str = ""
    untagged: bytes = b""


class BadCommand(Exception):
    """Input that is no command of the protocol; the text says what was expected and repeats nothing of it."""


class Ended(Exception):
    """The conversation is over and the client has been told."""


class Preauth(ABC):
    """The server's side of a conversation up to the login.

    A caller greets, then takes one attempt after the other, and answers each with `refuse` or `accept`.
    """

    def __init__(self, wire: Wire, offer: Offer, *, trusted: bool = False) -> None:
        self._wire = wire
        self._offer = offer
        self._trusted = trusted
        self._bad = 0
        self.hop: Hop | None = None
        self.client_id = ""
        self.refused: Kind | None = None

    @abstractmethod
    async def greet(self) -> None:
        """Send the greeting."""

    @abstractmethod
    def accept(self, welcome: Welcome) -> bytes:
        """What tells the client that it is logged in."""

    @abstractmethod
    async def _command(self) -> Attempt | None:
        """Read and answer one command; the attempt if it was a login."""

    @abstractmethod
    def _refusal(self, failure: Failure) -> bytes:
        """The reply to a failed login."""

    @abstractmethod
    def _farewell(self, kind: Kind) -> bytes:
        """The line that ends a conversation which cannot go on."""

    @abstractmethod
    def _bad_command(self, text: str) -> bytes:
        """The reply to what is no command."""

    async def attempt(self) -> Attempt | None:
        """The next login attempt, or None when the conversation has ended and the client has been told.

        Raises `EndOfStream`, `Expired`, `ShuttingDown` and `TlsFailure` of the wire.
        """
        try:
            while True:
                if (attempt := await self._patient_command()) is not None:
                    return attempt
        except LineTooLong:
            await self.bye(Kind.BAD_INPUT)
        except Ended:
            pass
        return None

    async def refuse(self, failure: Failure, mechanism: str = "") -> None:
        """Tell the client why its attempt with `mechanism` failed; raises `Ended` when that ends the conversation."""
        self.refused = failure.kind
        if failure.kind in CLOSING:
            await self._close(failure.kind)
        if failure.kind is Kind.BAD_CREDENTIALS:
            await self._refuse_token(mechanism)
        await self._wire.send(self._refusal(failure))

    async def bye(self, kind: Kind) -> None:
        """The farewell of a conversation that ends before a login; the caller closes."""
        self.refused = kind
        await self._wire.send(self._farewell(kind))

    def offered(self) -> tuple[str, ...]:
        """The mechanisms that would be accepted at this moment."""
        return _usable(self._offer.mechanisms, self.passwords_allowed(), bool(self._wire.certificate_user))

    def passwords_allowed(self) -> bool:
        """Whether a password may be sent as the connection stands."""
        return self._wire.secure or self._offer.plaintext

    def may_start_tls(self) -> bool:
        """Whether STARTTLS would be accepted at this moment."""
        return self._offer.starttls and not self._wire.secure

    async def _ask(self, challenge: bytes) -> bytes:
        """One round of a SASL exchange; raises `Failure` with CANCELLED or INVALID_BASE64.

        Framed as in IMAP (RFC 3501 section 6.2.2) and POP3 (RFC 5034 section 4); ManageSieve has strings instead.
        """
        await self._wire.send(b"+ %b\r\n" % sasl.encode(challenge))
        answer = await self._wire.line(self._offer.limits.sasl)
        if answer == b"*":
            raise Failure(Kind.CANCELLED)
        return sasl.decode(answer)

    async def _authenticate(self, name: str, initial: bytes | None) -> Attempt:
        mechanism = sasl.MECHANISMS.get(name)
        if name == "ANONYMOUS":
            raise Failure(Kind.ANONYMOUS)
        if mechanism is None or name not in self._offer.mechanisms:
            raise Failure(Kind.UNSUPPORTED_MECHANISM)
        if name not in self.offered():
            raise Failure(Kind.UNSUPPORTED_MECHANISM if name == "EXTERNAL" else Kind.PRIVACY_REQUIRED)
        return await mechanism(self._ask, initial)

    async def _patient_command(self) -> Attempt | None:
        try:
            return await self._command()
        except BadCommand as bad:
            await self._lose_patience(self._bad_command(str(bad)))
        except BareNewline:
            await self._lose_patience(self._bad_command("Lines end in CR LF (openssl s_client: option -crlf)."))
        except Failure as failure:
            self.refused = failure.kind
            if failure.kind not in _COUNTED:
                await self._wire.send(self._refusal(failure))
            else:
                await self._lose_patience(self._refusal(failure))
        return None

    async def _lose_patience(self, reply: bytes) -> None:
        self._bad += 1
        if self._bad < self._offer.limits.bad_commands:
            await self._wire.send(reply)
            return
        self.refused = Kind.BAD_COMMANDS
        await self._wire.send(reply + self._farewell(Kind.BAD_COMMANDS))
        raise Ended

    async def _close(self, kind: Kind) -> NoReturn:
        await self._wire.send(self._farewell(kind))
        raise Ended

    async def _refuse_token(self, mechanism: str) -> None:
        """Clients learn from this challenge that their token is stale; their answer to it carries nothing."""
        challenge = sasl.TOKEN_REFUSALS.get(mechanism)
        if challenge is None:
            return
        try:
            with suppress(Failure, BareNewline, BadCommand):  # whatever the client answers, the refusal follows
                await self._ask(challenge)
        except LineTooLong:
            await self._close(Kind.BAD_INPUT)


@cache  # each listener asks for very few combinations, for every client
def _usable(mechanisms: tuple[str, ...], passwords: bool, certificate: bool) -> tuple[str, ...]:
    return tuple(name for name in mechanisms if (passwords if name in sasl.PLAINTEXT else certificate))
