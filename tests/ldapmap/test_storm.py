"""A morning's storm of logins against a server that is slower than they come, proved by counting.

Time is what the server needs for its answers, by a clock that only they move: nothing here depends on how fast the
machine is.
"""

import asyncio
import contextlib
import re
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any, cast

from ldapmap.client.connection import Identity
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import BaseProbe, SearchTemplate
from ldapmap.client.server import Server, ServerOptions
from ldapmap.client.servers import Servers
from ldapmap.client.turns import Busy
from tests.ldapmap.client.test_connection import target
from tests.ldapmap.client.test_deadlines import Clock
from tests.ldapmap.client.test_server import Counts
from tests.ldapmap.fake import (
    ABANDON,
    BIND,
    SEARCH,
    Conversation,
    FakeServer,
    Request,
    bind_result,
    entry,
    fake_server,
    search_done,
)

USERS = SearchTemplate("dc=x", "subtree", ["uid"], None, ["uid"])
NAME = re.compile(rb"u\d{5}")


class SlowServer:
    """Answers one request after the other, in the order of their arrival; each takes it `cost` seconds."""

    def __init__(self, clock: Clock, cost: float) -> None:
        self.clock = clock
        self.cost = cost
        self.served: Counter[tuple[int, bytes]] = Counter()
        self.longest = 0
        self._waiting: deque[tuple[Request, Conversation]] = deque()
        self._some = asyncio.Event()

    async def script(self, request: Request, conversation: Conversation) -> None:
        if request.kind == BIND and b"cn=service" in request:
            conversation.send(bind_result(request, 0))
        elif request.kind in (SEARCH, BIND):
            self._waiting.append((request, conversation))
            self.longest = max(self.longest, len(self._waiting))
            self._some.set()

    async def work(self) -> None:
        while True:
            await self._some.wait()
            request, conversation = self._waiting.popleft()
            if not self._waiting:
                self._some.clear()
            self.clock.advance(self.clock.now + self.cost)
            self._answer(request, conversation)
            await asyncio.sleep(0)

    def _answer(self, request: Request, conversation: Conversation) -> None:
        name = NAME.search(request.raw)
        if name is not None:
            self.served[request.kind, name[0]] += 1
        if request.kind == BIND:
            conversation.send(bind_result(request, 0))
            return
        if name is not None:
            conversation.send(entry(request, f"uid={name[0].decode()},dc=x", uid=name[0]))
        conversation.send(search_done(request))


class Storm:
    """Two servers, the first of them slow; and who logged in."""

    def __init__(self, slow: SlowServer, near: FakeServer, far: FakeServer, servers: Servers, counts: Counts) -> None:
        self.slow = slow
        self.near = near
        self.far = far
        self.counts = counts
        self.done: list[int] = []
        self._servers = servers

    async def login(self, number: int) -> None:
        found = await self._servers.search(USERS, b"u%05d" % number)
        await self._servers.bind(found[0].dn.encode(), b"secret")
        self.done.append(number)

    def offered(self, count: int) -> "list[asyncio.Task[None]]":
        return [asyncio.ensure_future(self.login(number)) for number in range(count)]

    def nothing_was_wasted(self) -> None:
        """Every request was for somebody who waited for it, was sent once, and was answered in time."""
        assert set(self.slow.served.values()) == {1}
        assert self.slow.served.keys() == {
            *((SEARCH, b"u%05d" % number) for number in self.done),
            *((BIND, b"u%05d" % number) for number in self.done),
        }
        assert self.near.of_kind(ABANDON) == []
        assert self.far.requests == []
        assert {outcome for _, _, outcome in self.counts.operations} == {"ok"}
        assert not any(server.down for server in self._servers.status().servers)


@contextlib.asynccontextmanager
async def storm(cost: float, *, operation_timeout: float = 5.0, queue_time: float = 20.0) -> AsyncIterator[Storm]:
    clock, counts = Clock(), Counts()
    deadlines = Deadlines(operation_timeout)
    cast(Any, deadlines)._loop = clock
    slow = SlowServer(clock, cost)

    def server(fake: FakeServer, priority: int) -> Server:
        options = ServerOptions(
            identity=Identity(b"cn=service", b"x"),
            bind_connections=8,
            longest_pause=1.0,
            queue_time=queue_time,
            meters=counts,
            priority=priority,
        )
        where = target(fake.url, search_outstanding=256, queue_limit=10_000, connect_timeout=60.0)
        made = Server(where, options, deadlines)
        cast(Any, made)._loop = cast(Any, made._patience)._loop = clock
        return made

    async with fake_server(slow.script) as near, fake_server(slow.script) as far:
        working = asyncio.ensure_future(slow.work())
        servers = Servers([server(near, 1), server(far, 2)], BaseProbe("dc=x"))
        await servers.start()
        try:
            yield Storm(slow, near, far, servers, counts)
        finally:
            await servers.close()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def test_everybody_whom_an_orderly_queue_would_serve_is_served() -> None:
    """3,000 at once, and the server can do 500 a second: most wait longer than an operation may take."""
    async with storm(cost=1 / 1000, operation_timeout=2.0) as morning:
        async with asyncio.timeout(60):
            await asyncio.gather(*morning.offered(3000))
        assert morning.slow.clock.now > 3 * 2.0
        assert len(morning.done) == 3000
        morning.nothing_was_wasted()
        assert len(morning.near.conversations) == 1 + 8


async def test_a_server_that_takes_long_over_each_search_is_not_given_more_than_it_can_answer_in_time() -> None:
    """Ten a second, as without an index: 256 at once would be answered after 25 seconds, which nobody may wait for."""
    async with storm(cost=1 / 10, operation_timeout=5.0, queue_time=120.0) as morning:
        async with asyncio.timeout(60):
            await asyncio.gather(*morning.offered(200))
        morning.nothing_was_wasted()
        assert morning.slow.longest <= 16 + 8


async def test_of_more_than_can_be_served_in_time_the_first_are_and_the_others_cost_the_server_nothing() -> None:
    """It could do 500 a second for two seconds; nobody is tried elsewhere, and nothing is done for those who left."""
    async with storm(cost=1 / 1000, queue_time=2.0) as morning:
        async with asyncio.timeout(60):
            results = await asyncio.gather(*morning.offered(5000), return_exceptions=True)
        refused = [number for number, result in enumerate(results) if result is not None]
        assert all(isinstance(results[number], Busy) for number in refused)
        assert len(morning.done) >= 900
        assert sorted(morning.done + refused) == list(range(5000))
        assert morning.far.requests == []
        assert max(morning.slow.served.values()) == 1
        searched = {name for kind, name in morning.slow.served if kind == SEARCH}
        assert searched == {b"u%05d" % number for number in range(len(searched))}  # in the order of arrival


async def test_who_leaves_the_queue_costs_the_server_nothing() -> None:
    async with storm(cost=1 / 1000) as morning:
        logins = morning.offered(1000)
        while len(morning.done) < 10:
            await asyncio.sleep(0)
        impatient = [number for number in range(500, 1000) if number % 2]
        for number in impatient:
            logins[number].cancel()
        results = await asyncio.gather(*logins, return_exceptions=True)
        assert sum(result is None for result in results) == 750
        morning.nothing_was_wasted()
