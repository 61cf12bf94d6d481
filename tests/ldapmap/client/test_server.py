"""One server: when it counts as failed, what is counted of it, and what its connections cost it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ldapmap.client.connection import Identity, Late, Silent
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import BaseProbe
from ldapmap.client.server import Server, ServerOptions
from ldapmap.client.turns import Busy
from ldapmap.errors import Misconfigured, ServerFault, Unavailable, WrongPassword
from ldapmap.meters import Operation, Outcome, Remembered, Source
from ldapmap.status import ServerStatus
from tests.ldapmap.client.test_connection import target
from tests.ldapmap.fake import BIND, SEARCH, Conversation, FakeServer, Request, bind_result, fake_server, ordinary
from tests.ldapmap.fake import search_done as done

PROBE = BaseProbe("dc=x")


class Counts:
    """Meters that remember everything."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, Operation, Outcome]] = []
        self.waits = 0

    def operation(self, server: str, operation: Operation, outcome: Outcome, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.operations.append((server, operation, outcome))

    def waited(self, seconds: float) -> None:
        self.waits += 1

    def answered(self, source: Source) -> None:
        raise AssertionError("a server does not know who asks")

    def remembered(self, outcome: Remembered) -> None:
        raise AssertionError("a server remembers nothing")


class Held:
    """Requests of users that are answered when the test says so; the service identity is always welcome."""

    def __init__(self) -> None:
        self.binds: list[tuple[Request, Conversation]] = []
        self.searches: list[tuple[Request, Conversation]] = []

    async def script(self, request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH:
            self.searches.append((request, conversation))
        elif b"cn=service" in request:
            await ordinary(request, conversation)
        elif request.kind == BIND:
            self.binds.append((request, conversation))

    def answer(self, number: int, code: int = 0) -> None:
        request, conversation = self.binds[number]
        conversation.send(bind_result(request, code))

    def found(self, number: int, code: int = 0) -> None:
        request, conversation = self.searches[number]
        conversation.send(done(request, code))


@contextlib.asynccontextmanager
async def server_on(
    fake: FakeServer,
    seconds: float = 5.0,
    queue_time: float = 5.0,
    binds: int = 2,
    counts: Counts | None = None,
    **changes: Any,
) -> AsyncIterator[Server]:
    deadlines = Deadlines(seconds)
    options = ServerOptions(
        identity=Identity(b"cn=service", b"x"),
        bind_connections=binds,
        longest_pause=1.0,
        queue_time=queue_time,
        meters=counts or Counts(),
    )
    server = Server(target(fake.url, **{"queue_limit": 100, **changes}), options, deadlines)
    try:
        yield server
    finally:
        await server.close()
        deadlines.close()


def bind(server: Server, name: str) -> "asyncio.Task[None]":
    return asyncio.ensure_future(server.bind(name.encode(), b"password"))


def search(server: Server) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(server.search(PROBE, b""))


async def test_each_connection_has_one_bind_at_a_time_and_the_longest_waiting_is_next() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake) as server:
        tasks = [bind(server, f"cn={number}") for number in range(4)]
        for number in range(4):
            await fake.seen(lambda fake: len(held.binds) >= min(4, number + 2))  # noqa: B023
            held.answer(number)
        await asyncio.gather(*tasks)
        assert len(fake.conversations) == 2
        assert [b"cn=%d" % number in held.binds[number][0] for number in range(4)] == [True] * 4


async def test_binds_that_arrive_together_open_one_connection_at_a_time() -> None:
    opened_at: list[int] = []
    held = Held()

    async def script(request: Request, conversation: Conversation) -> None:
        opened_at.append(len(fake.conversations))
        await held.script(request, conversation)

    async with fake_server(script) as fake, server_on(fake, binds=8) as server:
        tasks = [bind(server, f"cn={number}") for number in range(8)]
        await fake.seen(lambda fake: len(held.binds) == 8)
        assert opened_at == sorted(opened_at)
        for number in range(8):
            held.answer(number)
        await asyncio.gather(*tasks)
        assert len(fake.conversations) == 8


async def test_time_in_the_queue_is_not_time_of_the_operation() -> None:
    """The second bind waits for the first longer than an operation may take, and is answered all the same."""
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake, seconds=0.3, binds=1) as server:
        tasks = [bind(server, f"cn={number}") for number in range(6)]
        began = asyncio.get_running_loop().time()
        for number in range(6):
            await fake.seen(lambda fake: len(held.binds) > number)  # noqa: B023
            while asyncio.get_running_loop().time() < began + 0.1 * (number + 1):
                await asyncio.sleep(0)
            held.answer(number)
        await asyncio.gather(*tasks)


async def test_waiting_for_a_turn_ends_and_says_nothing_about_the_server() -> None:
    held, counts = Held(), Counts()
    async with fake_server(held.script) as fake, server_on(fake, queue_time=0.05, binds=1, counts=counts) as server:
        tasks = [bind(server, "cn=1")]
        await fake.seen(lambda fake: bool(held.binds))
        tasks += [bind(server, "cn=2"), bind(server, "cn=3")]
        for task in tasks[1:]:
            with pytest.raises(Busy):
                await task
        assert not server.breaker.down
        held.answer(0)
        await tasks[0]
        assert len(held.binds) == 1
        assert counts.waits == 3
        assert [operation for _, operation, _ in counts.operations] == ["connect", "bind"]


async def test_a_queue_of_its_limit_refuses_at_once() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake, binds=1, queue_limit=1) as server:
        first = bind(server, "cn=1")
        await fake.seen(lambda fake: bool(held.binds))
        second = bind(server, "cn=2")
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="1 are waiting already"):
            await server.bind(b"cn=3", b"password")
        held.answer(0)
        await fake.seen(lambda fake: len(held.binds) == 2)
        held.answer(1)
        await asyncio.gather(first, second)


async def test_a_cancelled_bind_closes_its_connection_and_the_next_gets_a_new_one() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake, binds=1) as server:
        first, second = bind(server, "cn=1"), bind(server, "cn=2")
        await fake.seen(lambda fake: bool(held.binds))
        first.cancel()
        await fake.seen(lambda fake: len(held.binds) == 2)
        held.answer(0)  # too late: nobody is credited with it
        held.answer(1, 49)
        with pytest.raises(WrongPassword):
            await second
        assert len(fake.conversations) == 2


# --- what a failure is ---


async def test_a_server_counts_as_down_from_a_fault_to_its_next_answer() -> None:
    dead: list[int] = []

    async def script(request: Request, conversation: Conversation) -> None:
        if dead and dead[0] == request.connection:
            conversation.close()
        else:
            await ordinary(request, conversation)

    async with fake_server(script) as fake, server_on(fake) as server:
        await server.search(PROBE, b"")
        dead.append(0)
        with pytest.raises(ServerFault):
            await server.search(PROBE, b"")
        assert server.breaker.down
        await server.bind(b"cn=x", b"x")
        assert not server.breaker.down
        assert await server.probe(PROBE)


@pytest.mark.parametrize(("code", "down"), [(49, False), (53, False), (51, True)])
async def test_only_a_fault_of_the_server_takes_it_down(code: int, down: bool) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        conversation.send(bind_result(request, code))

    async with fake_server(script) as fake, server_on(fake) as server:
        with pytest.raises((WrongPassword, Unavailable)):
            await server.bind(b"cn=x", b"x")
        assert server.breaker.down is down


async def test_a_slow_answer_of_a_server_that_answers_others_is_no_fault_of_it() -> None:
    held, counts = Held(), Counts()
    async with fake_server(held.script) as fake, server_on(fake, seconds=0.1, counts=counts) as server:
        slow = bind(server, "cn=slow")
        await fake.seen(lambda fake: len(held.binds) == 1)
        quick = bind(server, "cn=quick")
        await fake.seen(lambda fake: len(held.binds) == 2)
        held.answer(1, 49)
        with pytest.raises(WrongPassword):
            await quick
        with pytest.raises(Late):
            await slow
        assert not server.breaker.down
        assert counts.operations[-1][1:] == ("bind", "timeout")


async def test_a_server_that_answers_nobody_is_down() -> None:
    held, counts = Held(), Counts()
    async with fake_server(held.script) as fake, server_on(fake, seconds=0.05, counts=counts) as server:
        with pytest.raises(Silent):
            await server.bind(b"cn=x", b"x")
        assert server.breaker.down
        assert counts.operations[-1][1:] == ("bind", "timeout")


async def test_a_connection_lost_by_a_server_that_answers_others_is_no_fault_of_it() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake) as server:
        lost, fine = bind(server, "cn=1"), bind(server, "cn=2")
        await fake.seen(lambda fake: len(held.binds) == 2)
        held.answer(1)
        await fine
        held.binds[0][1].close()
        with pytest.raises(ServerFault):
            await lost
        assert not server.breaker.down


async def test_a_probe_tells_whether_a_server_answers_at_all() -> None:
    codes = [32]

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND:
            await ordinary(request, conversation)
        else:
            conversation.send(done(request, codes[0]))

    async with fake_server(script) as fake, server_on(fake) as server:
        assert await server.probe(PROBE)  # a missing base is a misconfiguration of a server that is alive
        codes[0] = 4
        assert await server.probe(PROBE)
        codes[0] = 52
        assert not await server.probe(PROBE)
        before = server.breaker.probe_at
        assert not await server.probe(PROBE)
        assert server.breaker.probe_at > before
        codes[0] = 32
        assert await server.probe(PROBE)
        assert not server.breaker.down


async def test_many_who_need_a_connection_make_one_attempt() -> None:
    counts = Counts()
    async with fake_server(ordinary) as fake:
        pass
    async with server_on(fake, counts=counts) as server:
        everybody = [*(search(server) for _ in range(9)), *(bind(server, "cn=x") for _ in range(9))]
        results = await asyncio.gather(*everybody, return_exceptions=True)
        assert all(isinstance(result, ServerFault) for result in results)
        assert [each[1:] for each in counts.operations] == [("connect", "unavailable")] * 2
        assert server.breaker.down


async def test_a_server_that_hangs_costs_one_attempt_however_many_come() -> None:
    """It accepts, and says nothing to the identity that has to bind first."""
    counts = Counts()

    async def silent(request: Request, conversation: Conversation) -> None:
        pass

    async with fake_server(silent) as fake, server_on(fake, counts=counts, connect_timeout=0.5) as server:
        tasks = [search(server) for _ in range(50)]
        await fake.seen(lambda fake: bool(fake.requests))
        tasks += [search(server) for _ in range(50)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, ServerFault) for result in results)
        assert len(fake.conversations) == 1


async def test_an_identity_that_is_refused_is_told_apart() -> None:
    counts = Counts()

    async def script(request: Request, conversation: Conversation) -> None:
        conversation.send(bind_result(request, 49))

    async with fake_server(script) as fake, server_on(fake, counts=counts) as server:
        with pytest.raises(Misconfigured):
            await server.search(PROBE, b"")
        assert counts.operations == [(str(server), "connect", "misconfigured")]
        assert server.breaker.down


# --- what is told of it ---


async def test_every_operation_is_counted_with_its_outcome() -> None:
    held, counts = Held(), Counts()
    async with fake_server(held.script) as fake, server_on(fake, counts=counts) as server:
        for number, code in enumerate((0, 4, 52)):
            task = search(server)
            await fake.seen(lambda fake: len(held.searches) > number)  # noqa: B023
            held.found(number, code)
            await asyncio.gather(task, return_exceptions=True)
        for number, code in enumerate((0, 49)):
            bound = bind(server, "cn=x")
            await fake.seen(lambda fake: len(held.binds) > number)  # noqa: B023
            held.answer(number, code)
            await asyncio.gather(bound, return_exceptions=True)
        assert [(operation, outcome) for _, operation, outcome in counts.operations] == [
            ("connect", "ok"),
            ("search", "ok"),
            ("search", "refused"),
            ("search", "unavailable"),
            ("connect", "ok"),
            ("bind", "ok"),
            ("bind", "refused"),
        ]
        assert {server for server, *_ in counts.operations} == {fake.url}


async def test_its_status_is_of_now() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake, search_outstanding=2) as server:
        assert server.status() == ServerStatus(fake.url, False, 0, 0, 0, 0, 0)
        tasks: list[asyncio.Task[Any]] = [bind(server, f"cn={number}") for number in range(3)]
        tasks += [search(server) for _ in range(5)]
        await fake.seen(lambda fake: (len(held.binds), len(held.searches)) == (2, 2))
        assert server.status() == ServerStatus(
            fake.url, down=False, bind_open=2, bind_busy=2, bind_waiting=1, searches=2, search_waiting=3
        )
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        status = server.status()
        assert (status.bind_busy, status.bind_waiting, status.searches, status.search_waiting) == (0, 0, 0, 0)


async def test_who_waits_is_sent_to_another_server() -> None:
    held = Held()
    async with fake_server(held.script) as fake, server_on(fake, binds=1, search_outstanding=1) as server:
        first: list[asyncio.Task[Any]] = [bind(server, "cn=1"), search(server)]
        await fake.seen(lambda fake: bool(held.binds and held.searches))
        waiting: list[asyncio.Task[Any]] = [bind(server, "cn=2"), search(server)]
        await asyncio.sleep(0)
        server.turn_away()
        for task in waiting:
            with pytest.raises(ServerFault, match="does not answer"):
                await task
        held.answer(0)
        held.found(0)
        await asyncio.gather(*first)


async def test_a_server_that_is_closed_opens_nothing() -> None:
    async with fake_server(ordinary) as fake, server_on(fake) as server:
        await server.close()
        for attempt in (server.search(PROBE, b""), server.bind(b"cn=x", b"x")):
            with pytest.raises(ServerFault, match="closed by us"):
                await attempt
        assert fake.conversations == []
