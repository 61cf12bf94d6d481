"""What every behaviour has at hand: its user, where to connect, and where to note what it sees."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol, TypeVar

import msgspec

from loadtest.fleet.connection import Connection
from loadtest.fleet.engine import Engine
from loadtest.fleet.imap import Imap
from loadtest.fleet.ledger import Ledger
from loadtest.fleet.managesieve import ManageSieve
from loadtest.fleet.pop3 import Pop3
from loadtest.fleet.population import Client
from loadtest.fleet.scenario import Scenario
from loadtest.fleet.tally import Tally


class Target(msgspec.Struct, frozen=True):
    """Where the fleet connects: an address, the port of each protocol, and the name in the certificate.

    `ca` is a file of authorities, "" for the system's. `sources` are how many loopback addresses clients come from, 0:
    whatever the kernel chooses. `known` says that all mail there is the load test's: any other is wrong.
    """

    address: str
    ports: dict[str, int]
    name: str = "localhost"
    ca: str = ""
    sources: int = 0
    known: bool = False


class Account(msgspec.Struct, frozen=True):
    """A user's name and password."""

    user: str
    password: str


class Accounts(Protocol):
    """Who the users are, by their number."""

    def account(self, number: int) -> Account:
        """The user of this number, from 0."""


class Session(Protocol):
    """A client of one of the protocols."""

    phase: str

    FAREWELL: ClassVar[bytes]


S = TypeVar("S", Imap, Pop3, ManageSieve)


@dataclass(slots=True)
class Fleet:
    """What the clients of one process share. `began` is set when the run begins."""

    engine: Engine
    scenario: Scenario
    target: Target
    context: ssl.SSLContext
    accounts: Accounts
    tally: Tally
    ledger: Ledger
    began: float = 0.0
    """By the engine's clock."""

    def now(self) -> float:
        """Seconds since the run began."""
        return self.engine.now() - self.began


class Visitor:
    """One mail program: comes, does what its behaviour says, goes, and comes again."""

    __slots__ = (
        "_phase",
        "_session",
        "_state",
        "account",
        "aside",
        "client",
        "connection",
        "fleet",
        "random",
        "ticket",
    )

    def __init__(self, fleet: Fleet, client: Client, *, aside: bool = False) -> None:
        """How fast the server is to those who stand `aside` (hostile clients, the audit) is not counted."""
        self.fleet = fleet
        self.client = client
        self.aside = aside
        self.account = fleet.accounts.account(client.user)
        self.random = Random((fleet.scenario.seed << 32) + client.number)
        self.connection: Connection | None = None
        self._phase = ""
        self._session: Session | None = None
        self.ticket: ssl.SSLSession | None = None
        self._state = ""

    @property
    def phase(self) -> str:
        """What it is about, as the first word of an error."""
        return self._session.phase if self._session is not None else self._phase

    @property
    def source(self) -> str:
        """The loopback address this program connects from; empty: any."""
        return source_address(self.client.number % self.fleet.target.sources) if self.fleet.target.sources else ""

    def be(self, state: str) -> None:
        """Enter a state, as it is shown while the run goes on."""
        states = self.fleet.tally.states
        if self._state:
            states[self._state] -= 1
        if state:
            states[state] += 1
        self._state = state

    def took(self, phase: str, seconds: float) -> None:
        """A phase lasted so long."""
        if not self.aside:
            self.fleet.tally.took(phase, seconds)

    def fails(self, kind: str, example: str) -> None:
        """Note an error; an event of the scenario may explain it."""
        at = self.fleet.now()
        words = f"{self.account.user}: {example}"
        self.fleet.tally.fault(kind, at, words, explained=self.fleet.scenario.explained(at))

    def wrong(self, kind: str, example: str) -> None:
        """Note what no event excuses: mail of somebody else, or lost, or altered."""
        self.fleet.tally.fault(kind, self.fleet.now(), f"{self.account.user}: {example}")
        self.fleet.tally.count("violations")

    async def connect(self, protocol: str) -> Connection:
        """A connection in clear."""
        self._phase = "connect"
        self.be("connecting")
        family = 10 if ":" in self.fleet.target.address else 2
        self.connection = Connection(self.fleet.engine, family)
        await self.connection.connect((self.fleet.target.address, self.fleet.target.ports[protocol]), self.source)
        return self.connection

    async def encrypt(self) -> None:
        """TLS on the connection; resumed when the program has a session to resume."""
        assert self.connection is not None  # noqa: S101 (connect comes first)
        self._phase = "tls"
        await self.connection.start_tls(self.fleet.context, self.fleet.target.name, self.ticket)

    async def log_in(self, protocol: type[S], password: str | None = None) -> S:
        """From the first packet until logged in, every phase timed. Raises whatever goes wrong."""
        now = self.fleet.engine.now
        began = now()
        connection = await self.connect(protocol.NAME)
        connected = now()
        await self.encrypt()
        secured = now()
        session = self._session = protocol(connection)
        await session.greeting()
        greeted = now()
        self.be("logging in")
        await session.login(self.account.user, self.account.password if password is None else password)
        came = now()
        for phase, seconds in (
            ("connect", connected - began),
            ("tls", secured - connected),
            ("greeting", greeted - secured),
            ("login", came - greeted),
            ("arrival", came - began),
        ):
            self.took(phase, seconds)
        self.fleet.tally.count("other logins" if self.aside else "logins")
        self.be("hostile" if self.aside else protocol.NAME)
        return session

    def part(self, word: bytes = b"") -> None:
        """Close whatever is open, with a word for which no answer is waited."""
        connection, self.connection, self._session = self.connection, None, None
        if connection is not None:
            self._count_bytes(connection)
            connection.farewell(word)

    def leave(self) -> None:
        """Close as a mail program does that is ended."""
        self.part(self._session.FAREWELL if self._session is not None else b"")

    def vanish(self) -> None:
        """Lose the connection without a word, as a telephone does."""
        connection, self.connection, self._session = self.connection, None, None
        if connection is not None:
            self._count_bytes(connection)
            connection.vanish()

    def _count_bytes(self, connection: Connection) -> None:
        self.fleet.tally.count("received", connection.received)
        self.fleet.tally.count("sent", connection.sent)

    def around(self, mean: float) -> float:
        """Seconds around a mean, so that clients do not act in step."""
        return mean * self.random.uniform(0.5, 1.5)


def source_address(number: int) -> str:
    """A loopback address for clients; up to 60,000 differ, and none is one that servers of ours listen on."""
    return f"127.{16 + number // 62500 % 200}.{1 + number // 250 % 250}.{1 + number % 250}"
