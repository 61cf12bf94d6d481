"""The director's I/O: it hears workers and the store, tells the core what happens, and does what the core wants.

Nothing is decided here. What the core wants is done in the order in which it wants it; a store in memory is asked at
once, any other by tasks, many users at the same time. What goes wrong with one message is logged and harms nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from msgspec import DecodeError
from msgspec.msgpack import Decoder, Encoder

from director.actions import (
    Action,
    AskDrained,
    AskGate,
    Count,
    Note,
    Probe,
    Publish,
    Read,
    Scan,
    Send,
    SetAdmin,
    Swap,
    Vote,
)
from director.links import Link
from director.meters import NO_METERS, GateWord, Meters, StoreOperation
from director.settings import MEMORY, DirectorSettings
from director.shards import Backend, Shards
from director.store import MAX_MESSAGE, Node, Snapshot, Store, StoreAway
from director.wire import Announce, Announced, Assign, FromWorker, Grant, Refuse, Release, ToWorker

if TYPE_CHECKING:
    from director.core import Core

T = TypeVar("T")

TICK: Final = 0.1
"""Seconds between two ticks of the core."""

MAX_WORKERS: Final = 1000
"""Connections of workers; more are closed."""

MAX_HINTS: Final = 10_000
"""Messages that wait to be published; then the oldest are lost, which polling makes up for."""

COUNT_LASTS: Final = 60.0
"""Seconds for which a share of a counter is kept unless it is told again."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries to listen to a store that is away."""

_AGAIN: Final = 0.5
"""Seconds until a probe is tried again that could not be made."""

_LAST_WORDS: Final = 2.0
"""Seconds for what is still being written when the director ends."""

_TOLD_AT_ONCE: Final = 200
"""Users whom the core is told of before others have their turn."""

_ENVELOPE: Final = 16
"""Bytes that a message needs beside its own, and the list of them."""

_logger = logging.getLogger("vestibule.director")
_encoder: Final = Encoder()
_hints: Final = Decoder(list[bytes])


class Word(Protocol):
    """What the sync gate says."""

    @property
    def synced(self) -> bool:
        """Whether the backend has caught up."""
        ...

    @property
    def text(self) -> str:
        """Why not, for the log."""
        ...


class Gate(Protocol):
    """Who knows more than we do about the backends' mail. Both have deadlines of their own and raise nothing."""

    async def synced(self, home: Backend, partners: Sequence[Backend], since: float) -> Word:
        """Whether a backend that came back at `since` (seconds since 1970) has caught up with its partners."""
        ...

    async def drained(self, user: str, backend: Backend) -> bool:
        """Whether all sessions of a user have ended there."""
        ...


class StoreState(NamedTuple):
    """How the store is doing: `since` is in seconds since 1970, `latency` how long the last heartbeat took (s)."""

    kind: str
    away: bool
    since: float
    latency: float


class Service:
    """Runs a core until the end of the block. `life` names this node's life, `clock` is what `now` is taken from.

    `probe` asks a backend whether it is well and returns what is wrong in words, "" when nothing is; it must end in
    time. When it raises OSError, nothing is known of the backend, and it is tried again. Without a `gate`, every
    backend has caught up and every user is drained. `lookup` says what a user's entry has for shard and preferred
    backend, None if that is not known.
    """

    def __init__(
        self,
        core: Core,
        store: Store,
        clock: Callable[[], float],
        *,
        life: str,
        settings: DirectorSettings,
        shards: Shards,
        probe: Callable[[Backend], Awaitable[str]],
        gate: Gate | None = None,
        lookup: Callable[[str], tuple[str, str] | None] = lambda _: None,
        meters: Meters = NO_METERS,
    ) -> None:
        self._core = core
        self._store = store
        self._clock = clock
        self._now = clock()
        self.life: Final = life
        self._settings = settings
        self._probe = probe
        self._gate = gate
        self._lookup = lookup
        self._meters = meters
        self._incarnation = os.urandom(8).hex()
        self._shards = shards
        self._backends = _by_name(shards)
        self._links: dict[str, Link] = {}
        self._strangers: set[Link] = set()
        self._dirty: list[Link] = []
        self._hearing = False
        """Workers are being heard, and what is said to them meanwhile goes out when that is over."""
        self._queue: deque[Action] = deque()
        self._performing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._servers: list[asyncio.Server] = []
        self._outbox: deque[bytes] = deque(maxlen=MAX_HINTS)
        self._posted = asyncio.Event()
        self._words: dict[str, str] = {}
        """The operator's words about backends that are not in the store yet."""
        self._spoken = asyncio.Event()
        self._snapshot = Snapshot("", (), {}, ())
        self.store_state = StoreState(MEMORY if settings.store == MEMORY else "redis", False, time.time(), 0.0)
        self._performers: dict[type, Callable[[Any], None]] = {
            Send: self._send,
            Swap: lambda action: self._begin(self._swap(action)),
            Read: lambda action: self._begin(self._read(action)),
            Probe: lambda action: self._begin(self._probed(action.backend)),
            Vote: lambda action: self._begin(self._vote(action)),
            SetAdmin: self._set_admin,
            Publish: self._publish,
            Count: lambda action: self._begin(self._count(action)),
            Scan: lambda action: self._begin(self._scan(action)),
            AskGate: lambda action: self._begin(self._ask_gate(action)),
            AskDrained: lambda action: self._begin(self._ask_drained(action)),
            Note: lambda action: _logger.log(action.level, "%s", action.text),
        }

    async def __aenter__(self) -> Service:
        """Begin; the first heartbeat is over then, answered or not."""
        self._loop = asyncio.get_running_loop()
        await self._store.start()
        await self._beat()
        forever = (self._beat_for_ever, self._listen_for_ever, self._publish_for_ever, self._tell_words_for_ever)
        self._loops = [self._loop.create_task(life()) for life in forever]
        self._tick(self._clock())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End: what is being written is finished, and this life is over in the store."""
        self.stop_accepting()
        if self._ticking is not None:
            self._ticking.cancel()
        for link in (*self._links.values(), *self._strangers):
            link.close()
        await _ended(self._loops)
        self._tell(self._core.ending)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
        await _ended(self._tasks)
        with suppress(StoreAway):
            await self._store.leave(self.life)
        await self._store.close()

    # --- for whoever runs it ---

    async def accept(self, listening: socket.socket) -> None:
        """Take workers' connections from this socket on."""
        self._servers.append(await self._loop.create_unix_server(lambda: Link(self), sock=listening))

    def stop_accepting(self) -> None:
        """Take no more connections; those that are there stay."""
        while self._servers:
            self._servers.pop().close()

    @property
    def workers(self) -> Sequence[str]:
        """The workers that are connected, by the numbers of their slots."""
        return [link.worker for link in sorted(self._links.values(), key=lambda link: link.slot)]

    @property
    def nodes(self) -> Sequence[Node]:
        """The nodes, as of the last heartbeat."""
        return self._snapshot.nodes

    def now(self) -> float:
        """The time that the core knows."""
        return self._clock()

    def perform(self, actions: Sequence[Action]) -> None:
        """Do what the core wants after an operator's order."""
        self._now = self._clock()
        self._perform(actions)

    async def look_up(self, user: str) -> bytes | None:
        """What the store has for a user; what we know, if it does not answer."""
        try:
            return await self._asked("read", self._store.read(user))
        except StoreAway:
            known = self._core.roster.users.get(user)
            return None if known is None else known.raw

    # --- routes ---

    def route_changed(self, user: str, shard: str, preferred: str) -> None:
        """The directory says something new about a user; shard "": there is no such user any more."""
        self._tell(self._core.route_changed, user, shard, preferred)

    def shards_changed(self, shards: Shards) -> None:
        """These are the shards from now on."""
        self._shards, self._backends = shards, _by_name(shards)
        self._tell(self._core.shards_changed, shards)

    def routes_lost(self) -> None:
        """Routes may have changed without our knowledge."""
        self._begin(self._look_up_routes())

    # --- what links say ---

    def joined(self, link: Link) -> None:
        """See Ear. Who comes again has lost the connection that it had, even if we have not seen that yet."""
        older = self._links.pop(link.worker, None)
        if older is not None:
            older.close("the worker has come again")
            self._tell(self._core.left, link.worker)
        self._strangers.discard(link)
        self._links[link.worker] = link
        self._tell(self._core.joined, link.worker, link.slot)

    def heard(self, link: Link, messages: list[FromWorker]) -> None:
        """See Ear."""
        self._hearing = True
        try:
            self._hear_worker(link, messages)
        finally:
            self._hearing = False
        self._flush()

    def _hear_worker(self, link: Link, messages: list[FromWorker]) -> None:
        self._now = now = self._clock()
        announced: list[Announce] = []
        said, worker = self._core.said, link.worker
        for message in messages:
            kind = type(message)
            if kind is Announce:
                announced.append(message)  # type: ignore[arg-type]
                continue
            try:
                if kind is Announced:
                    leases, announced = announced, []
                    self._perform(self._core.announced(worker, leases, True, now))
                    continue
                if kind is Assign:
                    link.asked[message.lease] = now  # type: ignore[union-attr]
                elif kind is Release:
                    link.asked.pop(message.lease, None)  # type: ignore[union-attr]
                self._perform(said(worker, message, now))
            except Exception:
                _logger.exception("worker %s: what it says cannot be dealt with", worker)
        if announced:
            self._tell(self._core.announced, worker, announced, False)

    def left(self, link: Link) -> None:
        """See Ear."""
        self._strangers.discard(link)
        if self._links.get(link.worker) is link:
            del self._links[link.worker]
            self._tell(self._core.left, link.worker)

    def arrived(self, link: Link) -> bool:
        """Whether there is room for another connection."""
        if len(self._links) + len(self._strangers) >= MAX_WORKERS:
            return False
        self._strangers.add(link)
        return True

    # --- what the core wants ---

    def _tell(self, event: Callable[..., Sequence[Action]], *facts: object) -> None:
        """Tell the core of an event, and do what it wants then."""
        self._now = self._clock()
        try:
            self._perform(event(*facts, self._now))
        except Exception:
            _logger.exception("what has happened cannot be dealt with")

    def _perform(self, actions: Sequence[Action]) -> None:
        """Do all of that, in order, and then what follows from it: never one within another, however long the chain."""
        if not actions:
            return
        queue = self._queue
        queue.extend(actions)
        if self._performing:
            return
        self._performing = True
        performers = self._performers
        while queue:
            action = queue.popleft()
            try:
                performers[type(action)](action)
            except Exception:
                _logger.exception("%s cannot be done", type(action).__name__)
        self._performing = False

    def _begin(self, life: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("something cannot be done", exc_info=error)

    def _send(self, action: Send) -> None:
        link = self._links.get(action.worker)
        if link is None:
            return
        message = action.message
        if type(message) is Grant or type(message) is Refuse:
            asked = link.asked.pop(message.lease, None)
            if asked is not None:
                self._meters.assigned(self._now - asked)
        self._say(link, message)

    def _say(self, link: Link, message: ToWorker) -> None:
        """Together with everything else that is said to this worker in this turn."""
        if not link.unsent:
            if not self._dirty and not self._hearing:
                self._loop.call_soon(self._flush)
            self._dirty.append(link)
        link.unsent.append(message)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            link.flush()

    async def _swap(self, action: Swap) -> None:
        try:
            outcome = await self._asked("swap", self._store.swap(*action))
        except StoreAway:
            self._tell(self._core.store_failed, action.user)
        else:
            self._tell(self._core.swapped, action.user, outcome)

    async def _read(self, action: Read) -> None:
        try:
            value = await self._asked("read", self._store.read(action.user))
        except StoreAway:
            self._tell(self._core.store_failed, action.user)
        else:
            self._tell(self._core.was_read, action.user, value)

    async def _asked(self, operation: StoreOperation, asking: Awaitable[T]) -> T:
        """The store's answer, measured. Raises StoreAway."""
        began = self._clock()
        answered = False
        try:
            answer = await asking
            answered = True
        finally:
            self._meters.store(operation, answered, self._clock() - began)
        return answer

    async def _vote(self, vote: Vote) -> None:
        lasts = self._settings.votes.vote_lasts
        view = "up" if vote.up else "down"
        with suppress(StoreAway):  # it is told again before it would be forgotten
            await self._asked("vote", self._store.vote(self.life, vote.backend, view, lasts))

    async def _count(self, count: Count) -> None:
        with suppress(StoreAway):  # likewise
            share = self._store.count(count.key, self.life, count.value, COUNT_LASTS)
            shares = await self._asked("count", share)
            self._tell(self._core.counted, count.key, shares)

    async def _scan(self, scan: Scan) -> None:
        complete = True
        try:
            found: list[tuple[str, bytes]] = []
            async for one in self._store.scan(scan.backend):
                found.append(one)
                if len(found) == _TOLD_AT_ONCE:
                    self._tell(self._core.scanned, scan.purpose, found)
                    found = []
                    await asyncio.sleep(0)
            self._tell(self._core.scanned, scan.purpose, found)
        except StoreAway:
            complete = False
        self._tell(self._core.scan_done, scan.purpose, complete)

    def _set_admin(self, action: SetAdmin) -> None:
        self._words[action.backend] = action.state
        self._spoken.set()

    def _publish(self, action: Publish) -> None:
        if len(action.message) > MAX_MESSAGE - _ENVELOPE:
            raise ValueError(f"a hint of {len(action.message)} bytes is too long")
        self._outbox.append(action.message)
        self._posted.set()

    async def _probed(self, name: str) -> None:
        backend = self._backends.get(name)
        if backend is None:
            return
        try:
            problem = await self._probe(backend)
        except OSError as error:
            _logger.warning("backend %s cannot be probed: %s", name, error)
            await asyncio.sleep(_AGAIN)
            self._begin(self._probed(name))
            return
        except Exception:
            _logger.exception("backend %s: the probe has failed by an error of ours", name)
            problem = "the probe has failed by an error of ours"
        self._meters.probed(name, not problem)
        self._tell(self._core.probed, name, problem)

    async def _ask_gate(self, action: AskGate) -> None:
        home = self._backends.get(action.home)
        synced = True
        if home is not None and self._gate is not None:
            synced = await self._ask_the(self._gate, home)
        self._tell(self._core.gate_said, action.home, synced, action.asked_at)

    async def _ask_the(self, gate: Gate, home: Backend) -> bool:
        word: GateWord = "silent"
        try:
            said = await gate.synced(home, self._partners(home), self._returned(home))
            word = "synced" if said.synced else "behind"
            _logger.info("%s: the sync gate says %s: %s", home.name, word, said.text)
        except Exception:
            _logger.exception("%s: the sync gate cannot be asked", home.name)
        self._meters.gate(word)
        return word == "synced"

    def _partners(self, home: Backend) -> list[Backend]:
        """The other backends that have the same mail, and are not down."""
        shards = [shard for shard in self._shards.all if home.name in shard.names]
        partners = {backend.name: backend for shard in shards for backend in shard.backends}
        return [
            backend
            for name, backend in partners.items()
            if name != home.name and self._core.fleet.standing(name) != "out"
        ]

    def _returned(self, home: Backend) -> float:
        """When this node has seen the backend come back, in seconds since 1970."""
        now = self._clock()
        since = (row.since for row in self._core.fleet.rows(now) if row.backend == home.name)
        return time.time() - (now - next(since, now))

    async def _ask_drained(self, action: AskDrained) -> None:
        backend, drained = self._backends.get(action.backend), True
        if backend is not None and self._gate is not None:
            try:
                drained = await self._gate.drained(action.user, backend)
            except Exception:
                _logger.exception("%s: it cannot be asked about %s", backend.name, action.user)
                drained = False
        self._tell(self._core.drained_said, action.user, action.backend, drained)

    async def _look_up_routes(self) -> None:
        """Of all users of this node, some at a time."""
        for number, user in enumerate(self._core.names()):
            if route := self._lookup(user):
                self.route_changed(user, *route)
            if number % _TOLD_AT_ONCE == _TOLD_AT_ONCE - 1:
                await asyncio.sleep(0)

    # --- what goes on all the time ---

    def _tick(self, due: float) -> None:
        now = self._clock()
        self._meters.lagged(max(0.0, now - due))
        self._tell(self._core.tick)
        due = max(due + TICK, self._clock())
        self._ticking = self._loop.call_later(due - self._clock(), self._tick, due)

    async def _beat_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat)
            await self._beat()

    async def _beat(self) -> None:
        began = self._clock()
        try:
            snapshot = await self._asked("beat", self._store.beat(self.life, self._incarnation))
        except StoreAway as away:
            self._judge_store(True, self._clock() - began, str(away))
            self._tell(self._core.beat_failed)
            return
        self._judge_store(False, self._clock() - began, "")
        # What has not arrived there yet counts all the same.
        self._snapshot = snapshot._replace(admin={**snapshot.admin, **self._words})
        self._tell(self._core.beat, self._snapshot)

    def _judge_store(self, away: bool, latency: float, why: str) -> None:
        before = self.store_state
        since = before.since if before.away == away else time.time()
        self.store_state = StoreState(before.kind, away, since, latency)
        if away and not before.away:
            _logger.error("the store is away: %s", why)
        elif before.away and not away:
            _logger.warning("the store answers again, after %.1f s", time.time() - before.since)

    async def _listen_for_ever(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async for message in self._store.messages():
                    pause = _FIRST_PAUSE
                    self._hear(message)
            except StoreAway:
                pass
            except Exception:
                _logger.exception("the store's messages cannot be heard")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _hear(self, message: bytes) -> None:
        try:
            hints = _hints.decode(message)
        except DecodeError:
            _logger.warning("the store has a message that no director of this version has written")
            return
        for hint in hints:
            self._tell(self._core.heard, hint)

    async def _publish_for_ever(self) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            while self._outbox:
                await self._publish_some()

    async def _publish_some(self) -> None:
        """As much as one message of the store holds; what the store does not take is lost, for hints may be."""
        hints, size = [self._outbox.popleft()], 0
        size = len(hints[0]) + _ENVELOPE
        while self._outbox and (size := size + len(self._outbox[0]) + _ENVELOPE) <= MAX_MESSAGE:
            hints.append(self._outbox.popleft())
        try:
            await self._asked("publish", self._store.publish(_encoder.encode(hints)))
        except StoreAway:
            pass
        except Exception:
            _logger.exception("hints cannot be published")

    async def _tell_words_for_ever(self) -> None:
        """Until the store has taken them: the operator's words are no hints."""
        while True:
            await self._spoken.wait()
            self._spoken.clear()
            for backend, state in tuple(self._words.items()):
                await self._tell_word(backend, state)
            if self._words:
                self._spoken.set()
                await asyncio.sleep(_FIRST_PAUSE)

    async def _tell_word(self, backend: str, state: str) -> None:
        try:
            await self._asked("admin", self._store.set_admin(backend, state))
        except StoreAway:
            return
        except Exception:
            _logger.exception("%s: that it is %s cannot be kept", backend, state)
        if self._words.get(backend) == state:
            del self._words[backend]


def _by_name(shards: Shards) -> dict[str, Backend]:
    return {backend.name: backend for shard in shards.all for backend in shard.backends}


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """End these, and wait for that."""
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
