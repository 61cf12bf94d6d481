"""Nodes, workers, clients, backends and a store, all in one process and without time of their own: what the director's
core wants is done when the test says so, in any order that real ones could do it in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from director import actions
from director.core import Core
from director.sections import BackendSettings, ShardSettings
from director.settings import DirectorSettings
from director.shards import Shards
from director.store import SWAPPED
from director.stores.memory import MemoryStore
from director.wire import Announce, Assign, Grant, Kick, Refuse, Release, Report

T = TypeVar("T")

SHARDS = (
    ShardSettings(
        name="s1", backend=(BackendSettings(name="a", host="a.example"), BackendSettings(name="b", host="b.example", priority=2))
    ),
    ShardSettings(
        name="s2", backend=(BackendSettings(name="c", host="c.example"), BackendSettings(name="d", host="d.example"))
    ),
)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


@dataclass
class Session:
    """A client's session: `backend` "" while it waits for its lease; `life` is the backend's life it belongs to."""

    user: str
    shard: str
    backend: str = ""
    epoch: int = 0
    life: int = 0


@dataclass
class Worker:
    """A worker of a node; what the director has said to it and it has not read yet is in its inbox."""

    name: str
    sessions: dict[int, Session] = field(default_factory=dict)
    inbox: deque[Any] = field(default_factory=deque)
    next: int = 1


class Node:
    """A node: its director, and the workers. `ahead` is how much its clock differs."""

    def __init__(self, world: World, name: str, ahead: float) -> None:
        self.world = world
        self.life = f"{name}/1"
        self.ahead = ahead
        self.cut = False
        self.alive = True
        self.workers = [Worker(f"{name}-w0"), Worker(f"{name}-w1")]
        self.todo: deque[Callable[[], None]] = deque()
        self.start()

    @property
    def now(self) -> float:
        return self.world.time + self.ahead

    def start(self) -> None:
        """A director begins; the workers come and say what they have."""
        self.todo.clear()
        self.core = Core(
            self.life,
            self.world.settings,
            Shards(SHARDS),
            workers=2,
            now=self.now,
            random=lambda: 0.5,
        )
        for slot, worker in enumerate(self.workers):
            self.introduce(slot, worker)
        self.beat()

    def introduce(self, slot: int, worker: Worker) -> None:
        """A worker comes, or comes again."""
        worker.inbox.clear()
        self.do(self.core.joined(worker.name, slot, self.now))
        held = [
            Announce(number, one.user, one.backend, one.shard, one.epoch, "192.0.2.1", "imap", "s", 0.0)
            for number, one in worker.sessions.items()
            if one.backend
        ]
        self.do(self.core.announced(worker.name, held, True, self.now))
        for number, one in worker.sessions.items():
            if not one.backend:
                self.assign(worker, number, one)

    def assign(self, worker: Worker, number: int, session: Session, failed: str = "") -> None:
        message = Assign(number, session.user, session.shard, "", "192.0.2.1", "imap", "s", failed)
        self.do(self.core.said(worker.name, message, self.now))

    def do(self, wanted: Sequence[actions.Action]) -> None:
        """Take orders; those to the store, and answers, wait until their time has come."""
        for action in wanted:
            if isinstance(action, actions.Send):
                for worker in self.workers:
                    if worker.name == action.worker:
                        worker.inbox.append(action.message)
            else:
                self.todo.append(lambda action=action: self.perform(action))  # type: ignore[misc]

    def answer(self, event: Callable[..., Sequence[actions.Action]], *facts: object) -> None:
        self.todo.append(lambda: self.do(event(*facts, self.now)))

    def perform(self, action: actions.Action) -> None:
        core, world, store = self.core, self.world, self.world.store
        if isinstance(action, actions.Probe):
            backend = world.backends[action.backend]
            self.answer(core.probed, action.backend, "" if backend.up else "refused")
        elif isinstance(action, actions.Swap):
            if self.cut:
                self.answer(core.store_failed, action.user)
                return
            outcome = store.swap_now(action.user, action.expected, action.new, action.ttl)
            self.answer(core.swapped, action.user, outcome)
        elif isinstance(action, actions.Read):
            if self.cut:
                self.answer(core.store_failed, action.user)
            else:
                self.answer(core.was_read, action.user, store.read_now(action.user))
        elif isinstance(action, actions.Scan):
            found = [] if self.cut else world.scan(action.backend)
            self.answer(core.scanned, action.purpose, found)
            self.answer(core.scan_done, action.purpose, not self.cut)
        elif isinstance(action, actions.AskGate):
            self.answer(core.gate_said, action.home, True, action.asked_at)
        elif self.cut:
            return
        elif isinstance(action, actions.Vote):
            at_once(store.vote(self.life, action.backend, "up" if action.up else "down", 30.0))
        elif isinstance(action, actions.SetAdmin):
            at_once(store.set_admin(action.backend, action.state))
        elif isinstance(action, actions.Publish):
            for node in world.nodes:
                if node.alive and not node.cut:
                    node.answer(node.core.heard, action.message)

    def beat(self) -> None:
        if self.cut:
            self.do(self.core.beat_failed(self.now))
        else:
            self.do(self.core.beat(at_once(self.world.store.beat(self.life, self.life)), self.now))

    def read(self, worker: Worker) -> None:
        """The worker reads one message and does what it says."""
        message = worker.inbox.popleft()
        number = getattr(message, "lease", 0)
        session = worker.sessions.get(number)
        if session is None:
            return
        if isinstance(message, Grant):
            backend = self.world.backends[message.backend]
            if backend.up:
                session.backend, session.epoch, session.life = message.backend, message.epoch, backend.life
                session.shard = message.shard
            else:
                del worker.sessions[number]
                self.say(worker, Release(number))
                self.say(worker, Report(message.backend, session.user, "connect", False))
        elif isinstance(message, Refuse):
            del worker.sessions[number]
        elif isinstance(message, Kick):
            self.end(worker, number)

    def say(self, worker: Worker, message: Any) -> None:
        self.answer(self.core.said, worker.name, message) if False else self.todo.append(
            lambda: self.do(self.core.said(worker.name, message, self.now))
        )

    def end(self, worker: Worker, number: int) -> None:
        del worker.sessions[number]
        self.say(worker, Release(number))

    def login(self, worker: Worker, user: str, shard: str) -> None:
        number, worker.next = worker.next, worker.next + 1
        worker.sessions[number] = session = Session(user, shard)
        self.todo.append(lambda: self.assign(worker, number, session) if number in worker.sessions else None)


@dataclass
class Backend:
    """A mail server; `life` is another each time it starts."""

    up: bool = True
    life: int = 1


class World:
    """Everything there is."""

    def __init__(self, nodes: int = 2, **settings: Any) -> None:
        self.time = 1000.0
        self.settings = DirectorSettings(kick_spread=1.0, **settings)
        self.store = MemoryStore(lambda: self.time)
        self.backends = {backend.name: Backend() for shard in SHARDS for backend in shard.backend}
        self.nodes: list[Node] = []
        for number in range(nodes):
            self.nodes.append(Node(self, f"n{number}", ahead=number * 300.0))

    def scan(self, backend: str) -> list[tuple[str, bytes]]:
        async def everything() -> list[tuple[str, bytes]]:
            return [found async for found in self.store.scan(backend)]

        return at_once(everything())

    def living(self) -> list[Node]:
        return [node for node in self.nodes if node.alive]

    def places(self, user: str) -> set[str]:
        """The backends on which the user has sessions that live."""
        return {
            session.backend
            for node in self.living()
            for worker in node.workers
            for session in worker.sessions.values()
            if session.user == user and session.backend and self.backends[session.backend].life == session.life
        }

    def kill_backend(self, name: str) -> None:
        """A mail server dies with all its sessions; the workers find out in time."""
        self.backends[name].up = False
        self.backends[name].life += 1

    def notice_dead(self) -> None:
        """The workers find that some of their sessions are dead."""
        for node in self.living():
            for worker in node.workers:
                for number, session in list(worker.sessions.items()):
                    if session.backend and self.backends[session.backend].life != session.life:
                        node.end(worker, number)

    def pass_time(self, seconds: float) -> None:
        """Time passes for everybody; ticks and heartbeats happen."""
        self.time += seconds
        for node in self.living():
            node.do(node.core.tick(node.now))
            node.beat()

    def run_dry(self, rounds: int = 10_000) -> None:
        """Everything that is under way comes to its end."""
        for _ in range(rounds):
            if not self.step():
                return
        raise AssertionError("there is no end to it")

    def step(self, which: int = 0) -> bool:
        """One thing that is under way happens; False when there is nothing."""
        ready = [node.todo for node in self.living() if node.todo]
        inboxes = [(node, worker) for node in self.living() for worker in node.workers if worker.inbox]
        if not ready and not inboxes:
            return False
        choice = which % (len(ready) + len(inboxes))
        if choice < len(ready):
            ready[choice].popleft()()
        else:
            node, worker = inboxes[choice - len(ready)]
            node.read(worker)
        return True


