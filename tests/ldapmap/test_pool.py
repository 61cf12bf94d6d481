"""Connections of one server: turns are bounded, handed on, and never lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ldapmap.connection import BindConnection, Identity, open_connection
from ldapmap.deadlines import Deadlines
from ldapmap.errors import ServerFault, Unavailable, WrongPassword
from ldapmap.messages import BaseProbe
from ldapmap.pool import BindPool, Server, ServerOptions
from tests.ldapmap.fake import BIND, Conversation, FakeServer, Request, bind_result, fake_server, ordinary, search_done
from tests.ldapmap.test_connection import target

PROBE = BaseProbe("dc=x")
OPTIONS = ServerOptions(identity=Identity(b"cn=service", b"x"), bind_connections=2, longest_pause=1.0)


class Held:
    """Binds that are answered when the test says so."""

    def __init__(self) -> None:
        self.binds: list[tuple[Request, Conversation]] = []

    async def script(self, request: Request, conversation: Conversation) -> None:
        self.binds.append((request, conversation))

    def answer(self, number: int, code: int = 0) -> None:
        request, conversation = self.binds[number]
        conversation.send(bind_result(request, code))


@contextlib.asynccontextmanager
async def bind_pool(server: FakeServer, size: int, seconds: float = 5.0, **changes: Any) -> AsyncIterator[BindPool]:
    deadlines = Deadlines(seconds)
    pool = BindPool(target(server.url, **changes), size, deadlines)
    try:
        yield pool
    finally:
        pool.close()
        deadlines.close()


@contextlib.asynccontextmanager
async def server_on(fake: FakeServer, seconds: float = 5.0, **changes: Any) -> AsyncIterator[Server]:
    deadlines = Deadlines(seconds)
    server = Server(target(fake.url, **changes), OPTIONS, deadlines)
    try:
        yield server
    finally:
        server.close()
        deadlines.close()


def bind(pool: BindPool, name: str) -> "asyncio.Task[Any]":
    return asyncio.ensure_future(pool.bind(name.encode(), b"password"))


async def test_each_connection_has_one_bind_at_a_time_and_the_longest_waiting_is_next() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 2) as pool:
        tasks = [bind(pool, f"cn={number}") for number in range(4)]
        for number in range(4):
            await server.seen(lambda server: len(held.binds) >= min(4, number + 2))  # noqa: B023
            held.answer(number)
        await asyncio.gather(*tasks)
        assert len(server.conversations) == 2
        assert sorted(b"cn=2" in request for request in server.requests[2:]) == [False, True]
        assert b"cn=2" in server.requests[2]


async def test_more_than_the_queue_holds_are_refused_at_once() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1, queue_limit=1) as pool:
        first, second = bind(pool, "cn=1"), bind(pool, "cn=2")
        await server.seen(lambda server: bool(held.binds))
        with pytest.raises(Unavailable, match="1 binds are waiting already"):
            await pool.bind(b"cn=3", b"password")
        held.answer(0)
        await server.seen(lambda server: len(held.binds) == 2)
        held.answer(1)
        await asyncio.gather(first, second)


async def test_waiting_for_a_turn_ends() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1, seconds=0.05) as pool:
        results = await asyncio.gather(bind(pool, "cn=1"), bind(pool, "cn=2"), return_exceptions=True)
        assert isinstance(results[0], ServerFault)
        assert isinstance(results[1], Unavailable)


async def test_a_turn_that_was_handed_to_somebody_who_leaves_goes_to_the_next() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1) as pool:
        first, leaving, staying = bind(pool, "cn=1"), bind(pool, "cn=2"), bind(pool, "cn=3")
        await server.seen(lambda server: bool(held.binds))
        pool._give_back(None)
        leaving.cancel()  # after it was handed the place, and before it could take it
        await server.seen(lambda server: len(held.binds) == 2)
        assert b"cn=3" in held.binds[1][0]
        held.answer(0)
        held.answer(1)
        await asyncio.gather(first, staying)
        assert leaving.cancelled()


async def test_somebody_who_leaves_the_queue_is_not_waited_for() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1) as pool:
        first, leaving, staying = bind(pool, "cn=1"), bind(pool, "cn=2"), bind(pool, "cn=3")
        await server.seen(lambda server: bool(held.binds))
        leaving.cancel()
        held.answer(0)
        await server.seen(lambda server: len(held.binds) == 2)
        held.answer(1)
        await asyncio.gather(first, staying)
        assert leaving.cancelled()


async def test_a_lost_connections_place_is_handed_on_and_a_new_one_opened() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1) as pool:
        first, second = bind(pool, "cn=1"), bind(pool, "cn=2")
        await server.seen(lambda server: bool(held.binds))
        server.conversations[0].close()
        with pytest.raises(ServerFault):
            await first
        await server.seen(lambda server: len(held.binds) == 2)
        held.answer(1)
        assert (await second).code == 0
        assert len(server.conversations) == 2


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    async with fake_server(ordinary) as server, bind_pool(server, 1) as pool:
        await pool.bind(b"cn=1", b"x")
        server.conversations[0].close()
        (idle,) = pool._idle
        async with asyncio.timeout(5):
            while not idle.closed:
                await asyncio.sleep(0)
        assert (await pool.bind(b"cn=2", b"x")).code == 0
        assert len(server.conversations) == 2


async def test_a_place_is_not_lost_when_no_connection_can_be_opened() -> None:
    async with fake_server(ordinary) as server:
        pass
    async with bind_pool(server, 1) as pool:
        for _ in range(3):
            with pytest.raises(ServerFault):
                await pool.bind(b"cn=1", b"x")


async def test_closing_ends_those_who_wait_and_those_who_come() -> None:
    held = Held()
    async with fake_server(held.script) as server, bind_pool(server, 1) as pool:
        first, second = bind(pool, "cn=1"), bind(pool, "cn=2")
        await server.seen(lambda server: bool(held.binds))
        pool.close()
        pool.close()
        for task in (first, second, bind(pool, "cn=3")):
            with pytest.raises(ServerFault, match="closed by us"):
                await task


async def test_a_connection_that_is_opened_while_the_pool_closes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_and_close(*args: Any) -> BindConnection:
        connection = await open_connection(BindConnection, *args[1:])
        pool.close()
        return connection

    monkeypatch.setattr("ldapmap.pool.open_connection", open_and_close)
    async with fake_server(ordinary) as server, bind_pool(server, 1) as pool:
        with pytest.raises(ServerFault, match="closed by us"):
            await pool.bind(b"cn=1", b"x")
        assert server.of_kind(BIND) == []


# --- a server ---


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


async def test_a_probe_tells_whether_a_server_answers_at_all() -> None:
    codes = [32]

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == BIND:
            await ordinary(request, conversation)
        else:
            conversation.send(search_done(request, codes[0]))

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
    async with fake_server(ordinary) as fake:
        pass
    async with server_on(fake) as server:
        searches = [server.search(PROBE, b"") for _ in range(4)]
        results = await asyncio.gather(*searches, return_exceptions=True)
        assert all(isinstance(result, ServerFault) for result in results)
        assert server._open_failures == 1
        assert "another login" in str(results[-1])
    async with fake_server(ordinary) as fake, server_on(fake) as server:
        await asyncio.gather(*(server.search(PROBE, b"") for _ in range(4)))
        assert len(fake.conversations) == 1


async def test_a_server_that_is_closed_opens_nothing() -> None:
    async with fake_server(ordinary) as fake, server_on(fake) as server:
        server.close()
        with pytest.raises(ServerFault, match="closed by us"):
            await server.search(PROBE, b"")
        assert fake.conversations == []


async def test_a_search_connection_that_is_opened_while_the_server_closes_is_closed() -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        server.close()
        await ordinary(request, conversation)

    async with fake_server(script) as fake, server_on(fake) as server:
        with pytest.raises(ServerFault, match="closed by us"):
            await server.search(PROBE, b"")
