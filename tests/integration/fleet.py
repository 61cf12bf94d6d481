"""Many mail clients in one process that want to stay logged in, whatever happens, and keep book of what does.

A client logs in over TLS and waits in IDLE, or stores marked messages one after the other. When its session ends it
comes back at once, again and again, at the next of its places if one refuses. It remembers what it was told and how
long it was out; who stores messages remembers which of them were acknowledged, and can look whether they are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
import threading
import time
import uuid
from asyncio import sslproto
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from .site import User
from .wait import DEADLINE_SECONDS, wait_until

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds a client waits for an answer before it counts as silence."""

LONGEST_PAUSE = 1.0
"""Seconds between two tries of a client that is refused; the first comes at once, then after a tenth, and so on."""

AT_ONCE = 200
"""Logins of a fleet that are under way at once; more wait for their turn."""

MOST_KINDS = 100
"""Different failures that are told apart; others are only counted."""

MOST_MESSAGES = 200_000
"""Messages that a fleet stores at most."""

MOST_ABSENCES = 20
"""So many of a client's last absences are remembered."""

sslproto.SSLProtocol.max_size = 32 * 1024  # by default each client would have a buffer of 256 KiB

_LIMIT = 256 * 1024
"""Bytes of a line or a literal that a client takes."""


class Place(NamedTuple):
    """Where a client connects."""

    address: str
    port: int


class Receipt(NamedTuple):
    """When a message was sent and acknowledged (seconds since 1970), and where."""

    place: Place | None
    sent: float
    acknowledged: float


class Absence(NamedTuple):
    """From the end of a session (`said`: by which words), or the first try, until the client was in (again);
    `refusals` are the first few kinds of failures on the way."""

    user: str
    said: str
    seconds: float
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a fleet has met: failures by kind, sessions that ended by their last words, the longest time a client was
    out, and each user's longest; messages that were acknowledged, and those of which nobody knows."""

    failures: Counter[str]
    ends: Counter[str]
    logins: int
    longest: Absence | None
    by_user: dict[str, float]
    acknowledged: int
    unknown: int


class Refused(Exception):
    """The answer was NO or BAD; the text is the answer without its tag."""


class Gone(Exception):
    """The other side has ended the session; the text is what it said last, or "closed"."""


@dataclass(eq=False)
class Client:
    """One client of a user. Its figures may be read at any time, from any thread."""

    user: User
    places: Sequence[Place]
    online: bool = False
    logins: int = 0
    where: Place | None = None
    absences: deque[Absence] = field(default_factory=lambda: deque(maxlen=MOST_ABSENCES))
    longest: Absence | None = None
    said: str = ""
    """The last words of its last session."""
    acknowledged: set[str] = field(default_factory=set)
    """The Message-IDs of what it was told to be stored."""
    receipts: dict[str, Receipt] = field(default_factory=dict)
    """Of each of those, for who asks what became of one."""
    unknown: set[str] = field(default_factory=set)
    """Those that may be stored or not: nobody has answered."""


class Fleet:
    """Clients that trust `context`, in a thread of their own, as long as the block lasts.

    `check_every` seconds a waiting client asks whether its session is alive, and `patience` is how long it waits for
    that and for any other answer: who is not told of an end finds it by that.
    """

    def __init__(self, context: ssl.SSLContext, *, patience: float = PATIENCE, check_every: float = 600.0) -> None:
        self._context = context
        self._patience, self._check_every = patience, check_every
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet")
        self._tasks: dict[Client, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._failures: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._run = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # --- orders ---

    def idle(self, user: User, *places: Place) -> Client:
        """Add a client that waits in IDLE, at the first of the places that takes it."""
        return self._add(Client(user, places), self._wait_in_idle)

    def write(self, user: User, *places: Place, every: float = 0.05) -> Client:
        """Add a client that stores a message in the user's INBOX, each `every` seconds."""

        async def store(imap: _Imap, client: Client) -> None:
            await self._store_messages(imap, client, every)

        return self._add(Client(user, places), store)

    def wait_until_in(self, clients: Iterable[Client] = (), deadline: float = DEADLINE_SECONDS) -> None:
        """Return when these clients, or all, are logged in at the same time."""
        wanted = list(clients) or list(self._tasks)
        wait_until(lambda: all(client.online for client in wanted), "the fleet to be in", deadline)

    def end(self, clients: Iterable[Client] = ()) -> None:
        """Let these clients, or all, hang up and not come back; who stores a message first waits for its answer."""
        wanted = list(clients) or list(self._tasks)
        self._call(self._end(wanted))

    # --- questions ---

    def online(self) -> int:
        """How many clients are logged in."""
        return sum(client.online for client in list(self._tasks))

    def online_at(self, place: Place) -> int:
        """How many clients are logged in there."""
        return sum(client.online and client.where == place for client in list(self._tasks))

    def report(self, clients: Iterable[Client] = ()) -> Report:
        """What these clients, or all, have met; failures and ends are those of all."""
        asked = list(clients) or list(self._tasks)
        absences = [client.longest for client in asked if client.longest]
        by_user: dict[str, float] = {}
        for absence in absences:
            by_user[absence.user] = max(absence.seconds, by_user.get(absence.user, 0.0))
        return Report(
            self._failures.copy(),
            self._ends.copy(),
            sum(client.logins for client in asked),
            max(absences, key=lambda absence: absence.seconds, default=None),
            by_user,
            sum(len(client.acknowledged) for client in asked),
            sum(len(client.unknown) for client in asked),
        )

    def missing(self, *places: Place) -> dict[str, set[str]]:
        """Which acknowledged messages are not in their users' INBOX, as seen by a login there: user -> Message-IDs."""
        acknowledged: dict[User, set[str]] = {}
        for client in self._tasks:
            acknowledged.setdefault(client.user, set()).update(client.acknowledged)
        users = [user for user, marks in acknowledged.items() if marks]
        found = dict(zip(users, self._call(self._messages_of(users, places)), strict=True))
        return {user.name: lost for user in users if (lost := acknowledged[user] - found[user])}

    def messages(self, user: User, *places: Place) -> set[str]:
        """The Message-IDs in the user's INBOX, as seen by a login there."""
        (found,) = self._call(self._messages_of([user], places))
        return found

    # --- the thread's side ---

    def _call(self, work: Awaitable[T]) -> T:
        async def waiting() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(waiting(), self._loop).result(600.0)

    def _add(self, client: Client, stay: Callable[[_Imap, Client], Awaitable[None]]) -> Client:
        async def begin() -> None:
            self._tasks[client] = asyncio.create_task(self._live(client, stay))

        self._call(begin())
        return client

    async def _end(self, clients: Iterable[Client]) -> None:
        tasks = [self._tasks[client] for client in clients]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def _live(self, client: Client, stay: Callable[[_Imap, Client], Awaitable[None]]) -> None:
        """Log in, stay, and come back, until cancelled."""
        places = itertools.cycle(client.places)
        client.said = "first login"
        while True:
            async with self._logged_in(client, places) as imap:
                try:
                    await stay(imap, client)
                except (OSError, Gone, Refused, ValueError, EOFError) as error:
                    client.said = _words(error)
                    self._count(self._ends, client.said)
                finally:
                    client.online = False

    @contextlib.asynccontextmanager
    async def _logged_in(self, client: Client, places: Iterator[Place]) -> AsyncIterator[_Imap]:
        """A session at the first of the places that takes the client; it is tried for ever."""
        clock = self._loop.time
        began, pause, refusals = clock(), 0.0, list[str]()
        while True:
            place = next(places)
            imap = _Imap(self._context, self._patience)
            try:
                async with self._turns:
                    await imap.log_in(place, client.user)
            except (OSError, Gone, Refused, ValueError, EOFError) as error:
                imap.close()
                kind = f"{imap.phase}: {_words(error)}"
                self._count(self._failures, kind)
                refusals.append(kind)
                del refusals[MOST_ABSENCES:]
                await self._pause(pause)
                pause = min(pause * 2 or 0.1, LONGEST_PAUSE)
            else:
                break
        absence = Absence(client.user.name, client.said, clock() - began, tuple(refusals))
        client.absences.append(absence)
        client.longest = max(client.longest or absence, absence, key=lambda one: one.seconds)
        client.logins, client.where, client.online = client.logins + 1, place, True
        try:
            yield imap
        finally:
            imap.close()

    async def _wait_in_idle(self, imap: _Imap, client: Client) -> None:
        await imap.ask("EXAMINE INBOX")
        while True:
            await imap.idle(self._check_every)

    async def _store_messages(self, imap: _Imap, client: Client, every: float) -> None:
        number = next(self._numbers)
        for mark in (f"{self._run}.{number}.{count}.{client.user.name}@fleet" for count in itertools.count()):
            if len(client.acknowledged) + len(client.unknown) > MOST_MESSAGES:
                raise AssertionError(f"more than {MOST_MESSAGES} messages")
            client.unknown.add(mark)
            sent = time.time()
            storing = asyncio.ensure_future(imap.append(mark))
            try:
                await asyncio.shield(storing)
            except Refused:
                client.unknown.discard(mark)
                raise
            except asyncio.CancelledError:
                with contextlib.suppress(OSError, Gone, Refused, EOFError):
                    await storing
                    self._acknowledge(client, mark, sent)
                raise
            self._acknowledge(client, mark, sent)
            await self._pause(every)

    def _acknowledge(self, client: Client, mark: str, sent: float) -> None:
        client.receipts[mark] = Receipt(client.where, sent, time.time())
        client.unknown.discard(mark)
        client.acknowledged.add(mark)

    async def _pause(self, seconds: float) -> None:
        await asyncio.wait([self._loop.create_future()], timeout=seconds)

    def _count(self, counter: Counter[str], kind: str) -> None:
        counter[kind if kind in counter or len(counter) < MOST_KINDS else "others"] += 1

    async def _messages_of(self, users: Sequence[User], places: Sequence[Place]) -> list[set[str]]:
        return await asyncio.gather(*(self._messages(Client(user, places)) for user in users))

    async def _messages(self, client: Client) -> set[str]:
        async with self._logged_in(client, itertools.cycle(client.places)) as imap:
            await imap.ask("EXAMINE INBOX")
            answer = await imap.ask("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
            return set(re.findall(r"<([^>\r\n]*)>", answer))


class _Imap:
    """A conversation in IMAP, as far as the fleet speaks it."""

    def __init__(self, context: ssl.SSLContext, patience: float) -> None:
        self._context, self._patience = context, patience
        self._writer: asyncio.StreamWriter | None = None
        self._tags = itertools.count()
        self.phase = "connect"
        """How far the login has come: connect, greeting, login, session."""

    async def log_in(self, place: Place, user: User) -> None:
        """Connect and log in."""
        async with asyncio.timeout(self._patience):
            self._reader, self._writer = await asyncio.open_connection(*place, ssl=self._context, limit=_LIMIT)
            self.phase = "greeting"
            greeting = await self._line()
            if not greeting.startswith("* OK"):
                raise Refused(greeting.removeprefix("* "))
        self.phase = "login"
        await self.ask(f"LOGIN {_quoted(user.name)} {_quoted(user.password)}")
        self.phase = "session"

    def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def ask(self, command: str) -> str:
        """Give a command and return all that is answered. Raises Refused, Gone, and TimeoutError for silence."""
        async with asyncio.timeout(self._patience):
            tag = self._send(command)
            return await self._answer(tag)

    async def append(self, mark: str) -> None:
        """Store a message with this Message-ID in the INBOX."""
        message = f"Message-ID: <{mark}>\r\nFrom: fleet@example\r\nSubject: {mark}\r\n\r\n{mark}\r\n"
        async with asyncio.timeout(self._patience):
            tag = self._send(f"APPEND INBOX {{{len(message)}}}")
            await self._continued(tag)
            self._write(message + "\r\n")
            await self._answer(tag)

    async def idle(self, seconds: float) -> None:
        """Wait in IDLE, and see after so many seconds whether somebody is still there."""
        async with asyncio.timeout(self._patience):
            tag = self._send("IDLE")
            await self._continued(tag)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await self._line()
        async with asyncio.timeout(self._patience):
            self._write("DONE\r\n")
            await self._answer(tag)

    def _send(self, command: str) -> str:
        tag = f"a{next(self._tags)}"
        self._write(f"{tag} {command}\r\n")
        return tag

    def _write(self, text: str) -> None:
        assert self._writer is not None
        self._writer.write(text.encode())

    async def _continued(self, tag: str) -> None:
        while not (line := await self._line()).startswith("+"):
            if line.startswith(f"{tag} "):
                raise Refused(line.removeprefix(f"{tag} "))

    async def _answer(self, tag: str) -> str:
        lines = [await self._line()]
        while not lines[-1].startswith(f"{tag} "):
            if literal := re.search(r"\{([0-9]{1,6})\}$", lines[-1]):
                lines.append((await self._reader.readexactly(min(int(literal[1]), _LIMIT))).decode())
            lines.append(await self._line())
        verdict = lines[-1].removeprefix(f"{tag} ")
        if not verdict.startswith("OK"):
            raise Refused(verdict)
        return "\n".join(lines)

    async def _line(self) -> str:
        received = await self._reader.readline()
        if not received.endswith(b"\n"):
            raise Gone("closed")
        line = received.decode(errors="replace").rstrip("\r\n")
        if line.startswith("* BYE"):
            raise Gone(line.removeprefix("* "))
        return line


def _words(error: Exception) -> str:
    """A failure in a few words."""
    if isinstance(error, TimeoutError):
        return "silence"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, OSError | EOFError):
        return "closed" if isinstance(error, ConnectionError | EOFError) else type(error).__name__
    return str(error)[:200]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
