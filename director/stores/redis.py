"""The store that nodes share: Redis or Valkey, as one server, behind Sentinel, or as a Cluster.

Everything asked in one turn of the loop, and while an answer is awaited, goes out together: the more there is to do,
the less each costs. Beside the connection for questions there is one for messages.

Keys, all with the prefix: `u:{USER}` a user's record; `{t}:nodes`, `{t}:admin`, `{t}:votes`, `{t}:identity` the small
tables; `c:KEY` counters; `h:KEY` events in a window. Messages go to the channel `{t}:messages`.
"""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import uuid4

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from director.record import beginning
from director.store import MAX_MESSAGE, SWAPPED, Snapshot, StoreAway, Swapped, Vote
from director.stores import scripts
from director.stores.connect import connect, connect_to_one
from director.stores.scripts import Script
from director.stores.settings import RedisSettings
from director.stores.sightings import Beat, Sightings

MAX_WAITING: Final = 50_000
"""Questions that wait for their turn: a storm of logins, not the end of memory."""

_BATCH: Final = 500
"""Questions sent together: long enough to be cheap, short enough not to hold up the server's other clients."""

_REMEMBERED: Final = 86_400_000
"""A node that has been silent for so long (ms) is forgotten."""

_QUIET: Final = 10.0
"""After so many seconds without a message we ask whether the server is still there."""

_FAULTS: Final = (RedisError, OSError, TimeoutError)


class _Question(NamedTuple):
    command: tuple[Any, ...]
    script: Script | None
    answer: asyncio.Future[Any]


class RedisStore:
    """A store in Redis. `start` it in the loop that uses it; `clock` gives seconds that never go backwards."""

    def __init__(self, settings: RedisSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._prefix = settings.prefix
        self._users = f"{settings.prefix}:u:{{".encode()
        self._client = connect(settings)
        self._sightings = Sightings()
        self._waiting: deque[_Question] = deque()
        self._asked = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        """The pool's, for questions to a single server: they are asked one batch after the other."""
        self._listeners: set[Redis] = set()
        """Clients of their own for who listens to a Cluster."""

    async def start(self) -> None:
        """See Store."""
        self._sender = asyncio.create_task(self._send_for_ever())

    async def close(self) -> None:
        """See Store."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()
            await asyncio.wait([sender])
        self._fail(self._waiting, "it has been closed")
        self._waiting.clear()
        for client in (self._client, *self._listeners):
            with suppress(*_FAULTS):
                await client.aclose()

    async def swap(
        self, user: str, expected: bytes | None, new: bytes | None, ttl: float | None
    ) -> bytes | Swapped | None:
        """See Store."""
        key, lasting = self._user(user), b"" if ttl is None else _milliseconds(ttl)
        found: bytes | int | None = await self._run(scripts.SWAP, (key,), expected or b"", new or b"", lasting)
        return SWAPPED if isinstance(found, int) else found

    async def read(self, user: str) -> bytes | None:
        """See Store."""
        value: bytes | None = await self._ask(("GET", self._user(user)))
        return value

    async def scan(self, backend: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """See Store."""
        start = beginning(backend) if backend else b""
        keys = aiter(self._client.scan_iter(match=self._users + b"*", count=_BATCH))
        while some := await self._within(_some(keys, _BATCH)):
            values = await asyncio.gather(*(self._ask(("GET", key)) for key in some))
            for key, value in zip(some, values, strict=True):
                if value is not None and value.startswith(start):
                    yield key[len(self._users) : -1].decode(), value

    async def beat(self, node: str, incarnation: str) -> Snapshot:
        """See Store."""
        tables = [self._table(name) for name in ("nodes", "admin", "votes", "identity")]
        others = await self._within(self._run_ids())
        answer = await self._run(scripts.BEAT, tables, node, incarnation, uuid4().hex, str(_REMEMBERED))
        identity, now, nodes, admin, votes = answer
        beats = [_beat(name.decode(), value.decode(), int(now)) for name, value in _pairs(nodes)]
        return Snapshot(
            identity.decode() + others,
            self._sightings.look(beats, self._clock()),
            {backend.decode(): state.decode() for backend, state in _pairs(admin)},
            tuple(_vote(name.decode(), value.decode()) for name, value in _pairs(votes)),
        )

    async def leave(self, node: str) -> None:
        """See Store."""
        await self._run(scripts.LEAVE, [self._table("nodes"), self._table("votes")], node)

    async def set_admin(self, backend: str, state: str) -> None:
        """See Store."""
        table = self._table("admin")
        await self._ask(("HSET", table, backend, state) if state else ("HDEL", table, backend))

    async def vote(self, node: str, backend: str, view: str, ttl: float) -> None:
        """See Store."""
        await self._run(scripts.VOTE, [self._table("votes")], f"{backend}\0{node}", _milliseconds(ttl), view)

    async def count(self, key: str, node: str, value: int, ttl: float) -> Mapping[str, int]:
        """See Store."""
        shares = await self._run(scripts.COUNT, [f"{self._prefix}:c:{key}"], node, str(value), _milliseconds(ttl))
        return {name.decode(): int(share) for name, share in _pairs(shares)}

    async def hit(self, key: str, window: float) -> int:
        """See Store."""
        hits: int = await self._run(scripts.HIT, [f"{self._prefix}:h:{key}"], _milliseconds(window))
        return hits

    async def publish(self, message: bytes) -> None:
        """See Store."""
        if len(message) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(message)} bytes is too long")
        await self._within(self._client.execute_command("PUBLISH", self._table("messages"), message))

    async def messages(self) -> AsyncIterator[bytes]:
        """See Store."""
        client = await self._within(self._listener())
        pubsub: PubSub = client.pubsub()
        try:
            await self._within(pubsub.subscribe(self._table("messages")))
            while self._sender is not None:
                message = await self._message(pubsub)
                if message["type"] == "message":
                    yield message["data"]
        finally:
            with suppress(*_FAULTS):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
            if client in self._listeners:
                self._listeners.discard(client)
                await client.aclose()
        raise StoreAway("it has been closed")

    # --- the way to the server ---

    def _user(self, user: str) -> bytes:
        return b"%b%b}" % (self._users, user.encode())

    def _table(self, name: str) -> str:
        return f"{self._prefix}:{{t}}:{name}"

    def _run(self, script: Script, keys: Sequence[str | bytes], *arguments: str | bytes) -> asyncio.Future[Any]:
        return self._ask(("EVALSHA", script.digest, len(keys), *keys, *arguments), script)

    def _ask(self, command: tuple[Any, ...], script: Script | None = None) -> asyncio.Future[Any]:
        """Return the answer to come, or StoreAway: at the latest a deadline from now."""
        answer = asyncio.get_running_loop().create_future()
        question = _Question(command, script, answer)
        if self._sender is None or len(self._waiting) >= MAX_WAITING:
            self._fail([question], "it is closed, or too many are waiting for it")
        else:
            self._waiting.append(question)
            self._asked.set()
        return answer

    async def _send_for_ever(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._waiting:
                await self._send_some()

    async def _send_some(self) -> None:
        """Ask a batch; when that fails, those behind it fail as well, instead of each waiting for a server that
        hangs."""
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            answers = await self._within(self._answers(batch))
        except StoreAway as away:
            self._fail((*batch, *self._waiting), str(away))
            self._waiting.clear()
        except asyncio.CancelledError:
            self._fail(batch, "it has been closed")
            raise
        else:
            for question, answer in zip(batch, answers, strict=True):
                _give(question.answer, answer)

    async def _answers(self, batch: Sequence[_Question]) -> list[Any]:
        """The answers of the server, among them exceptions; scripts it does not have are brought to it."""
        answers = await self._pipelined([question.command for question in batch])
        missing = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        brought = await self._pipelined([_in_full(batch[number]) for number in missing]) if missing else []
        for number, answer in zip(missing, brought, strict=True):
            answers[number] = answer
        return answers

    async def _pipelined(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if isinstance(self._client, RedisCluster):
            return await self._pipelined_by_server(self._client, commands)
        return await self._talked(self._client.connection_pool, commands)

    async def _talked(self, pool: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """What a pipeline does, which costs several times as much for a single command: it takes a connection from the
        pool each time, and gives it back. Whoever does not read all answers closes the connection."""
        packed = [_packed(command) for command in commands]
        if self._connection is None:
            self._connection = await pool.get_connection()
        connection = self._connection
        await pool.ensure_connection(connection)
        await connection.send_packed_command(packed, check_health=False)
        return [await _answer(connection) for _ in packed]

    async def _pipelined_by_server(self, client: RedisCluster, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """One server that is away must not fail what the others are asked."""
        await client.initialize()
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number, command in enumerate(commands):
            numbers[_server_of(client, command)].append(number)
        parts = [[commands[number] for number in some] for some in numbers.values()]
        outcomes = await asyncio.gather(
            *(self._executed_in_time(client.pipeline(), part) for part in parts), return_exceptions=True
        )
        answers: list[Any] = [None] * len(commands)
        for some, outcome in zip(numbers.values(), outcomes, strict=True):
            each = [outcome] * len(some) if isinstance(outcome, BaseException) else outcome
            for number, answer in zip(some, each, strict=True):
                answers[number] = answer
        return answers

    async def _executed_in_time(self, pipeline: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """One server that hangs must leave time to say what the others have answered."""
        async with asyncio.timeout(self._settings.deadline / 2):
            return await _executed(pipeline, commands)

    async def _within(self, asking: Any) -> Any:
        try:
            async with asyncio.timeout(self._settings.deadline):
                return await asking
        except _FAULTS as error:
            raise StoreAway(_described(error)) from error

    def _fail(self, questions: Iterable[_Question], why: str) -> None:
        for question in questions:
            _give(question.answer, StoreAway(why))

    async def _run_ids(self) -> str:
        """Which servers of a Cluster there are now, in this life of theirs; "" where the tables' server is the only
        one."""
        client = self._client
        if not isinstance(client, RedisCluster):
            return ""
        await client.initialize()
        run_ids = await asyncio.gather(*(self._run_id(client, node) for node in client.get_primaries()))
        return "".join(f" {run_id}" for run_id in sorted(run_ids))

    async def _run_id(self, client: RedisCluster, node: ClusterNode) -> str:
        """One that is away counts as another: who was there is claimed again when it is back."""
        with suppress(*_FAULTS):
            async with asyncio.timeout(self._settings.deadline / 2):
                info = await client.info("server", target_nodes=node)
                return str(info["run_id"])
        return node.name

    async def _listener(self) -> Redis:
        """A Cluster passes messages on to all of its servers, so any will do."""
        if not isinstance(self._client, RedisCluster):
            return self._client
        await self._client.initialize()
        node = random.choice(self._client.get_nodes())  # noqa: S311 (no secret)
        client = connect_to_one(self._settings, node.host, int(node.port))
        self._listeners.add(client)
        return client

    async def _message(self, pubsub: PubSub) -> dict[str, Any]:
        """The next message of any kind; after a quiet while the server has to show that it is there."""
        try:
            message = await pubsub.get_message(timeout=_QUIET)
            if message is None:
                await self._within(pubsub.ping())
                message = await pubsub.get_message(timeout=self._settings.deadline)
        except _FAULTS as error:
            raise StoreAway(_described(error)) from error
        if message is None:
            raise StoreAway("it does not answer")
        return dict(message)


async def _answer(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _packed(command: tuple[Any, ...]) -> bytes:
    """A command as it goes over the wire: an array of bulk strings (RESP)."""
    parts = [b"*%d\r\n" % len(command)]
    for each in command:
        value = each if isinstance(each, bytes) else str(each).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


async def _executed(pipeline: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    for command in commands:
        pipeline.execute_command(*command)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return answers


def _server_of(client: RedisCluster, command: tuple[Any, ...]) -> str:
    """The name of the server that has the command's key; "" while nobody has."""
    key = command[3] if command[0].startswith("EVAL") else command[1]
    node = client.get_node_from_key(key)
    return "" if node is None else node.name


def _give(future: asyncio.Future[Any], answer: Any) -> None:
    """Answer who is still waiting."""
    if future.done():
        return
    if isinstance(answer, _FAULTS):
        answer = StoreAway(_described(answer))
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _in_full(question: _Question) -> tuple[Any, ...]:
    """The same question with the script in place of its digest; the server keeps it."""
    if question.script is None:
        return question.command
    return ("EVAL", question.script.source, *question.command[2:])


async def _some(keys: AsyncIterator[bytes], count: int) -> list[bytes]:
    found: list[bytes] = []
    async for key in keys:
        found.append(key)
        if len(found) == count:
            break
    return found


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % max(1, round(seconds * 1000))


def _pairs(flat: Any) -> Iterable[tuple[bytes, bytes]]:
    """A hash as scripts return it."""
    return zip(flat[::2], flat[1::2], strict=True)


def _beat(node: str, value: str, now: int) -> Beat:
    at, beats, incarnation = value.split(" ", 2)
    return Beat(node, incarnation, int(beats), (now - int(at)) / 1000)


def _vote(name: str, value: str) -> Vote:
    backend, _, node = name.partition("\0")
    return Vote(backend, node, value.partition(" ")[2])
