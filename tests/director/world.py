"""Nodes, workers, clients, backends and a store, all in one process and without time of their own: what the director's
core wants is done when the test says so, in any order that real ones could do it in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
from director.core import Core
from director.door import LINGER
from director.record import Record, decode
from director.sections import BackendSettings, ShardSettings
from director.settings import DirectorSettings
from director.shards import Shards
from director.stores.memory import MemoryStore
from director.wire import Announce, Assign, FromWorker, Grant, Kick, Refuse, Release, Report, ToWorker

T = TypeVar("T")

HOME = "192.0.2.1"


def shard(name: str, *backends: str, **priorities: int) -> ShardSettings:
    """A shard with these backends; those of `priorities` go first or last."""
    everybody = {**dict.fromkeys(backends, 1), **priorities}
    return ShardSettings(
        name=name,
        backend=tuple(
            BackendSettings(name=backend, host=f"{backend}.example", priority=priority)
            for backend, priority in everybody.items()
        ),
    )


SHARDS = (shard("s1", a=1, b=2), shard("s2", "c", "d"))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


@dataclass(eq=False)
class Session:
    """A client's session: `backend` "" while it waits for its lease; `life` is the backend's life it belongs to.

    `failed` is the backend that has not accepted it, `refused` why it got no lease, `kicked` why it had to end, and
    `at_once` whether that could not wait for a quiet moment.
    """

    user: str
    shard: str
    preferred: str = ""
    address: str = HOME
    failed: str = ""
    backend: str = ""
    why: str = ""
    epoch: int = 0
    life: int = 0
    refused: str = ""
    kicked: str = ""
    at_once: bool = False


@dataclass(eq=False)
class Worker:
    """A worker of a node; what the director has said to it and it has not read yet is in its inbox."""

    name: str
    slot: int
    sessions: dict[int, Session] = field(default_factory=dict)
    inbox: deque[ToWorker] = field(default_factory=deque)
    next: int = 1
    connected: bool = False
    connection: int = 0
    """The number of its connection: what it said on another one is lost."""
    stubborn: bool = False
    """Its sessions find no quiet moment to end in."""

    def number(self, session: Session) -> int:
        return next(number for number, one in self.sessions.items() if one is session)


class Node:
    """A node: its director, and the workers. `ahead` is how much its clock differs.

    `cut`: it does not reach the store; `unreachable` are backends that it does not reach; `asleep`: its director does
    nothing and hears nothing, while its sessions go on.
    """

    def __init__(self, world: World, name: str, ahead: float) -> None:
        self.world = world
        self.life = f"{name}/1"
        self.ahead = ahead
        self.cut = self.asleep = False
        self.alive = True
        self.unreachable: set[str] = set()
        self.workers = [Worker(f"{name}-w{slot}", slot) for slot in range(world.workers)]
        self.todo: deque[Callable[[], None]] = deque()
        self.arriving: deque[Worker] = deque()
        self.done: list[Action] = []
        """Everything that was ordered but words to workers."""
        self._lost = 0
        self._how: Mapping[type[Action], Callable[[Any], None]] = {
            Probe: self._probe,
            Swap: self._swap,
            Read: self._read,
            Scan: self._scan,
            AskGate: self._ask_gate,
            AskDrained: self._ask_drained,
            Vote: self._vote,
            SetAdmin: self._set_admin,
            Publish: self._publish,
            Count: self._count,
            Note: lambda _: None,
        }

    @property
    def now(self) -> float:
        return self.world.time + self.ahead

    @property
    def notes(self) -> list[str]:
        """What operators were told."""
        return [action.text for action in self.done if isinstance(action, Note)]

    def asked(self, user: str) -> int:
        """How often the store was asked about a user."""
        return sum(isinstance(action, Swap | Read) and action.user == user for action in self.done)

    # --- directors and workers that come and go ---

    def start(self, absent: Collection[int] = ()) -> None:
        """A director begins; the workers come and say what they have, but for some."""
        world = self.world
        self.todo.clear()
        self.core = Core(
            self.life,
            world.settings,
            Shards(world.shards),
            workers=world.workers,
            now=self.now,
            near=world.store if world.near else None,
            checks_drained=world.checks_drained,
            random=lambda: world.random,
        )
        self.core.mover.watch_gates(world.gated)
        for worker in self.workers:
            worker.connected = False
            worker.inbox.clear()
        self.arriving = deque(worker for worker in self.workers if worker.slot not in absent)
        self.beat()

    def arrive(self) -> None:
        """Those who are on the way to a new director come."""
        while self.arriving:
            self.introduce(self.arriving.popleft())

    def introduce(self, worker: Worker) -> None:
        """A worker comes, or comes again."""
        worker.inbox.clear()
        worker.connected = True
        worker.connection += 1
        self.do(self.core.joined(worker.name, worker.slot, self.now))
        held = [
            Announce(number, one.user, one.backend, one.shard, one.epoch, one.address, "imap", f"s{number}", 0.0)
            for number, one in worker.sessions.items()
            if one.backend
        ]
        self.do(self.core.announced(worker.name, held, True, self.now))
        for number, one in worker.sessions.items():
            if not one.backend:
                self.assign(worker, number, one)

    def disconnect(self, worker: Worker) -> None:
        """The connection of a worker ends; its sessions go on."""
        worker.connected = False
        worker.inbox.clear()
        self.do(self.core.left(worker.name, self.now))

    def crash(self, worker: Worker) -> None:
        """A worker dies with its sessions; another takes its place."""
        worker.sessions.clear()
        self.disconnect(worker)
        worker.name += "'"
        self.introduce(worker)

    # --- sessions ---

    def login(
        self, user: str, shard: str = "s1", *, worker: int = 0, preferred: str = "", address: str = HOME
    ) -> Session:
        """Somebody logs in."""
        session = Session(user, shard, preferred, address)
        self._begin(self.workers[worker], session)
        return session

    def logout(self, session: Session) -> None:
        """A session ends, or its client does not wait any more."""
        for worker in self.workers:
            if session in worker.sessions.values():
                self.end(worker, worker.number(session))

    def end(self, worker: Worker, number: int) -> None:
        del worker.sessions[number]
        self.say(worker, Release(number))

    def assign(self, worker: Worker, number: int, one: Session) -> None:
        message = Assign(number, one.user, one.shard, one.preferred, one.address, "imap", f"s{number}", one.failed)
        self.do(self.core.said(worker.name, message, self.now))

    def say(self, worker: Worker, message: FromWorker) -> None:
        """A worker says something; what it said to a director that has gone nobody hears."""
        self._deliver(worker, lambda: self.do(self.core.said(worker.name, message, self.now)))

    def read(self, worker: Worker) -> None:
        """The worker reads one message and does what it says."""
        message = worker.inbox.popleft()
        if not isinstance(message, Grant | Refuse | Kick):
            return
        session = worker.sessions.get(message.lease)
        if session is None:
            return
        if isinstance(message, Grant):
            self._connect(worker, message, session)
        elif isinstance(message, Refuse):
            session.refused = message.reason
            del worker.sessions[message.lease]
        else:
            session.kicked, session.at_once = message.reason, message.now
            if message.now or not worker.stubborn:
                self.end(worker, message.lease)

    def reaches(self, backend: str) -> bool:
        return self.world.backends[backend].up and backend not in self.unreachable

    def _begin(self, worker: Worker, session: Session) -> None:
        number, worker.next = worker.next, worker.next + 1
        worker.sessions[number] = session
        self._deliver(worker, lambda: self.assign(worker, number, session) if number in worker.sessions else None)

    def _deliver(self, worker: Worker, message: Callable[[], None]) -> None:
        """What a worker says is on its way, unless its connection ends before."""
        connection = worker.connection
        if worker.connected:
            self.todo.append(lambda: message() if worker.connected and worker.connection == connection else None)

    def _connect(self, worker: Worker, grant: Grant, session: Session) -> None:
        """With its lease, a session connects; if that fails, it asks once more."""
        if self.reaches(grant.backend):
            session.backend, session.epoch, session.why = grant.backend, grant.epoch, grant.why
            session.shard, session.life = grant.shard, self.world.backends[grant.backend].life
            return
        self.end(worker, grant.lease)
        self.say(worker, Report(grant.backend, session.user, "connect", False))
        if session.failed:
            session.refused = "failed again"
        else:
            session.failed = grant.backend
            self._begin(worker, session)

    # --- what the director wants done ---

    def do(self, wanted: Sequence[Action]) -> None:
        """Take orders; those to the store, and answers, wait until their time has come."""
        for action in wanted:
            if isinstance(action, Send):
                for worker in self.workers:
                    if worker.name == action.worker and worker.connected:
                        worker.inbox.append(action.message)
            else:
                if isinstance(action, Vote):
                    self.world.note_vote(self, action)
                self.done.append(action)
                self.todo.append(lambda action=action: self._how[type(action)](action))  # type: ignore[misc]

    def answer(self, event: Callable[..., Sequence[Action]], *facts: object) -> None:
        self.todo.append(lambda: self.do(event(*facts, self.now)))

    def beat(self) -> None:
        if self.cut:
            self.do(self.core.beat_failed(self.now))
        else:
            self.do(self.core.beat(at_once(self.world.store.beat(self.life, self.life)), self.now))

    def _probe(self, action: Probe) -> None:
        problem = "" if self.reaches(action.backend) else "refused"
        self.answer(self.core.probed, action.backend, problem)

    def _swap(self, action: Swap) -> None:
        swap = self.world.store.swap_now
        if not self.cut:
            self.answer(self.core.swapped, action.user, swap(action.user, action.expected, action.new, action.ttl))
            return
        self._lost += 1
        if self._lost % 2:  # the order was lost, or the answer
            swap(action.user, action.expected, action.new, action.ttl)
        self.answer(self.core.store_failed, action.user)

    def _read(self, action: Read) -> None:
        if self.cut:
            self.answer(self.core.store_failed, action.user)
        else:
            self.answer(self.core.was_read, action.user, self.world.store.read_now(action.user))

    def _scan(self, action: Scan) -> None:
        if not self.cut:
            self.answer(self.core.scanned, action.purpose, self.world.scan(action.backend))
        self.answer(self.core.scan_done, action.purpose, not self.cut)

    def _ask_gate(self, action: AskGate) -> None:
        self.answer(self.core.gate_said, action.home, action.home not in self.world.behind, action.asked_at)

    def _ask_drained(self, action: AskDrained) -> None:
        drained = action.user not in self.world.lingering
        self.answer(self.core.drained_said, action.user, action.backend, drained)

    def _vote(self, action: Vote) -> None:
        if not self.cut:
            at_once(self.world.store.vote(self.life, action.backend, "up" if action.up else "down", 30.0))

    def _set_admin(self, action: SetAdmin) -> None:
        if not self.cut:
            at_once(self.world.store.set_admin(action.backend, action.state))

    def _publish(self, action: Publish) -> None:
        if not self.cut:
            for node in self.world.awake():
                if not node.cut and not self.world.silent:
                    node.answer(node.core.heard, action.message)

    def _count(self, action: Count) -> None:
        if not self.cut:
            shares = at_once(self.world.store.count(action.key, self.life, action.value, 30.0))
            self.answer(self.core.counted, action.key, dict(shares))


@dataclass
class Backend:
    """A mail server; `life` is another each time it starts."""

    up: bool = True
    life: int = 1


class World:
    """Everything there is. `behind` are backends that have not caught up, as the gate of those that are `gated` says;
    `lingering` are users of whom backends say that they have sessions there; `silent`: hints are lost."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        shards: Sequence[ShardSettings] = SHARDS,
        workers: int = 2,
        apart: float = 300.0,
        near: bool = False,
        gated: Iterable[str] = (),
        checks_drained: bool = False,
        **settings: Any,
    ) -> None:
        self.time = 1000.0
        self.random = 0.5
        self.settings = DirectorSettings(**{"kick_spread": 1.0, **settings})
        self.shards = shards
        self.workers = workers
        self.near = near
        self.gated = frozenset(gated)
        self.checks_drained = checks_drained
        self.behind: set[str] = set()
        self.lingering: set[str] = set()
        self.silent = False
        self.store = MemoryStore(lambda: self.time)
        self.voted_down: dict[str, set[Node]] = {}
        """Who said last that a backend is down, by backend."""
        self.given_up: set[str] = set()
        """Backends that most nodes said were down at the same time, whether they were or not: what is left there is
        being closed, for a while."""
        self.backends = {backend.name: Backend() for shard in shards for backend in shard.backend}
        self.nodes = [Node(self, f"n{number}", ahead=number * apart) for number in range(nodes)]
        for node in self.nodes:
            node.start()
        self.run_dry()

    @property
    def node(self) -> Node:
        """The first node."""
        return self.nodes[0]

    def forget(self) -> None:
        """The store loses everything."""
        self.store = MemoryStore(lambda: self.time)

    def scan(self, backend: str) -> list[tuple[str, bytes]]:
        async def everything() -> list[tuple[str, bytes]]:
            return [found async for found in self.store.scan(backend)]

        return at_once(everything())

    def record(self, user: str) -> Record | None:
        """What the store has for the user."""
        value = self.store.read_now(user)
        return None if value is None else decode(value)

    def assigned(self, user: str) -> str:
        """The backend that the store has for the user, "" if there is none."""
        record = self.record(user)
        return "" if record is None else record.backend

    def holders(self, user: str) -> frozenset[str]:
        """The nodes that hold the user in the store."""
        record = self.record(user)
        return frozenset() if record is None else record.holders

    def put(self, user: str, record: Record | None) -> None:
        """Write what the store has for the user, as somebody else might."""
        value = None if record is None else record.encode()
        self.store.swap_now(user, self.store.read_now(user), value, None)

    def note_vote(self, node: Node, vote: Vote) -> None:
        """A node has said how it sees a backend; a node alone knows of all sessions there are."""
        votes = self.voted_down.setdefault(vote.backend, set())
        (votes.discard if vote.up else votes.add)(node)
        self.judge_votes()

    def judge_votes(self) -> None:
        nodes = len(self.living())
        self.given_up |= {backend for backend, votes in self.voted_down.items() if 2 * len(votes) > nodes > 1}

    def living(self) -> list[Node]:
        return [node for node in self.nodes if node.alive]

    def awake(self) -> list[Node]:
        return [node for node in self.nodes if node.alive and not node.asleep]

    def places(self, user: str) -> set[str]:
        """The backends on which the user has sessions that live."""
        return {
            session.backend
            for node in self.living()
            for worker in node.workers
            for session in worker.sessions.values()
            if session.user == user and session.backend and self.backends[session.backend].life == session.life
        }

    # --- what happens ---

    def login(self, user: str, shard: str = "s1", **how: Any) -> Session:
        """Somebody logs in on the first node, and everything that follows happens."""
        session = self.node.login(user, shard, **how)
        self.run_dry()
        return session

    def move(self, user: str, target: str, node: int = 0) -> None:
        """An operator moves a user."""
        mover = self.nodes[node]
        backend = mover.core.fleet.backend(target)
        assert backend is not None
        mover.do(mover.core.move(user, backend, mover.now))
        self.run_dry()

    def abort(self, job: str) -> None:
        """An operator ends a job."""
        self.node.do(self.node.core.abort(job, self.node.now))
        self.run_dry()

    def say(self, backend: str, state: str) -> None:
        """An operator says what is to be done with a backend."""
        self.node.do(self.node.core.set_admin(backend, state, self.node.now))
        self.run_dry()

    def reroute(self, user: str, shard: str, preferred: str) -> None:
        """The directory says something else about a user, to all nodes."""
        for node in self.living():
            node.do(node.core.route_changed(user, shard, preferred, node.now))
        self.run_dry()

    def arrange(self, *shards: ShardSettings) -> None:
        """There are other shards, on all nodes."""
        self.backends |= {
            one.name: Backend() for shard in shards for one in shard.backend if one.name not in self.backends
        }
        for node in self.living():
            node.do(node.core.shards_changed(Shards(shards), node.now))
        self.run_dry()

    def logout(self, session: Session) -> None:
        """The same for the end of a session, wherever it is."""
        for node in self.living():
            node.logout(session)
        self.run_dry()

    def part(self, session: Session) -> None:
        """The same, and the user does not come back soon."""
        self.logout(session)
        self.wait(LINGER)

    def kill_backend(self, name: str) -> None:
        """A mail server dies with all its sessions; the workers find out in time."""
        self.backends[name].up = False
        self.backends[name].life += 1

    def hang_backend(self, name: str) -> None:
        """A mail server answers no more; its sessions stay."""
        self.backends[name].up = False

    def notice_dead(self) -> None:
        """The workers find that some of their sessions are dead."""
        for node in self.living():
            for worker in node.workers:
                for number, session in list(worker.sessions.items()):
                    if session.backend and self.backends[session.backend].life != session.life:
                        node.end(worker, number)

    def pass_time(self, seconds: float) -> None:
        """Time passes for everybody; ticks and heartbeats happen."""
        for node in self.awake():
            node.arrive()
        self.time += seconds
        for node in self.awake():
            node.do(node.core.tick(node.now))
            node.beat()

    def wait(self, seconds: float, step: float = 0.5) -> None:
        """Time passes, and everything happens that is due."""
        end = self.time + seconds - step / 2
        while self.time < end:
            self.pass_time(step)
            self.run_dry()

    def run_dry(self, rounds: int = 10_000) -> None:
        """Everything that is under way comes to its end."""
        for _ in range(rounds):
            if not self.step():
                return
        raise AssertionError("there is no end to it")

    def step(self, which: int = 0) -> bool:
        """One thing that is under way happens; False when there is nothing."""
        things: list[Callable[[], object]] = []
        for node in self.awake():
            if node.arriving:
                things.append(lambda node=node: node.introduce(node.arriving.popleft()))  # type: ignore[misc]
            if node.todo:
                things.append(node.todo.popleft)
            things += [
                lambda node=node, worker=worker: node.read(worker)  # type: ignore[misc]
                for worker in node.workers
                if worker.inbox
            ]
        if not things:
            return False
        follows = things[which % len(things)]()
        if callable(follows):
            follows()
        return True
