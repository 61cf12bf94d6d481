"""A connection that follows: searches that go on, probes between them, and every way in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ldapmap import DirectorySettings
from ldapmap.client.connection import open_connection
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import parse_filter
from ldapmap.errors import ServerFault
from ldapmap.mirror.connection import SyncConnection, SyncSearch
from ldapmap.mirror.errors import ReloadNeeded
from ldapmap.mirror.syncrepl import NewCookie, RefreshDelete, SyncEntry, SyncEvent
from ldapmap.targets import target_for
from tests.ldapmap.fake import FakeServer, fake_server
from tests.ldapmap.mirror.sync_server import BASE, COOKIE, SyncServer, cookie, done, ends, nothing, user, whole

SEARCH = SyncSearch(BASE, BASE, "subtree", parse_filter("(objectClass=*)"), ("uid", "mailHost"))


@contextlib.asynccontextmanager
async def connected(script: SyncServer, seconds: float = 5.0) -> AsyncIterator[SyncConnection]:
    async with fake_server(script) as server:
        deadlines = Deadlines(seconds)
        connection = await open_connection(SyncConnection, target_for(server.url, settings(server), None), deadlines)
        try:
            async with asyncio.timeout(10):
                yield connection
        finally:
            connection.close()
            deadlines.close()


def settings(server: FakeServer | str, **changes: Any) -> DirectorySettings:
    url = server if isinstance(server, str) else server.url
    return DirectorySettings(kind="ldap", servers=(url,), base=BASE, message_limit=4096, **changes)


class Events:
    def __init__(self) -> None:
        self.seen: list[SyncEvent] = []
        self.fails: Exception | None = None

    def __call__(self, events: Sequence[SyncEvent]) -> None:
        if self.fails is not None:
            raise self.fails
        self.seen += events


async def until(connection: SyncConnection, events: Events, count: int) -> None:
    while len(events.seen) < count:
        await connection.activity.wait()
        connection.activity.clear()
        if connection.over.done():
            connection.over.result()


async def test_what_a_search_finds_is_handed_on_and_so_is_what_follows() -> None:
    script, events = SyncServer(whole("alice", "bob")), Events()
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", events)
        await until(connection, events, 3)
        assert [type(event) for event in events.seen] == [SyncEntry, SyncEntry, RefreshDelete]
        script.send(cookie(COOKIE))
        await until(connection, events, 4)
        assert isinstance(events.seen[3], NewCookie)
        assert connection.silent_for < 10.0


async def test_the_cookie_is_sent() -> None:
    script = SyncServer(whole())
    async with connected(script) as connection:
        events = Events()
        connection.follow(SEARCH, COOKIE, events)
        await until(connection, events, 1)
        assert COOKIE in script.searches[0]


async def test_every_search_gets_what_is_its_own() -> None:
    script, first, second = SyncServer(whole("alice"), whole("bob")), Events(), Events()
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", first)
        connection.follow(SEARCH, b"", second)
        await until(connection, first, 2)
        await until(connection, second, 2)
        named = [events.seen[0] for events in (first, second)]
        assert [event.dn for event in named if isinstance(event, SyncEntry)] == [b"uid=alice,dc=x", b"uid=bob,dc=x"]


async def test_a_probe_is_answered_before_and_during_a_search() -> None:
    script, events = SyncServer(whole("alice")), Events()
    async with connected(script) as connection:
        await connection.probe(BASE)
        connection.follow(SEARCH, b"", events)
        await connection.probe(BASE)
        assert script.probes == 2
        assert not connection.closed


async def test_a_server_without_a_word_fails_the_probe() -> None:
    script = SyncServer(whole("alice"))
    async with connected(script, seconds=0.05) as connection:
        script.silent = True
        with pytest.raises(ServerFault, match="no answer"):
            await connection.probe(BASE)
        with pytest.raises(ServerFault):
            await connection.over


async def test_a_server_that_sends_anything_else_instead_lives() -> None:
    script, events = SyncServer(whole("alice")), Events()
    async with connected(script, seconds=0.2) as connection:
        connection.follow(SEARCH, b"", events)
        await until(connection, events, 2)
        script.silent = True
        probing = asyncio.ensure_future(connection.probe(BASE))
        await asyncio.sleep(0)
        script.send(user("bob"))
        await probing
        assert not connection.closed
        assert len(events.seen) == 3


async def test_what_the_receiver_raises_ends_the_connection() -> None:
    script, events = SyncServer(whole("alice")), Events()
    events.fails = ReloadNeeded("behind")
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", events)
        with pytest.raises(ReloadNeeded, match="behind"):
            await connection.over
        assert connection.closed
        assert connection.activity.is_set()


@pytest.mark.parametrize("end", [ends(0), lambda request, conversation: conversation.send(done()(request))])
async def test_a_search_that_does_not_go_on_is_a_fault(end: Any) -> None:
    async with connected(SyncServer(end)) as connection:
        connection.follow(SEARCH, b"", Events())
        with pytest.raises(ServerFault, match="stopped sending"):
            await connection.over


async def test_garbage_ends_the_connection() -> None:
    script = SyncServer(lambda request, conversation: conversation.send(b"garbage"))
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", Events())
        with pytest.raises(ServerFault, match="garbage"):
            await connection.over


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    script = SyncServer(lambda request, conversation: conversation.send(user("x" * 5000)(request)))
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", Events())
        with pytest.raises(ServerFault, match="longer than 4096"):
            await connection.over


async def test_messages_for_nobody_are_left_out() -> None:
    script, events = SyncServer(nothing), Events()
    async with connected(script) as connection:
        connection.follow(SEARCH, b"", events)
        while not script.searches:
            await asyncio.sleep(0)
        stray = script.searches[0].__class__(0, 77, 0, b"")
        assert script.conversation is not None
        script.conversation.send(cookie(COOKIE)(stray), user("eve")(stray), user("bob")(script.searches[0]))
        await until(connection, events, 1)
        assert len(events.seen) == 1


async def test_nothing_can_be_asked_on_a_connection_that_is_closed() -> None:
    async with connected(SyncServer(whole())) as connection:
        connection.close()
        with pytest.raises(ServerFault):
            connection.follow(SEARCH, b"", Events())
        with pytest.raises(ServerFault):
            connection.over.result()
        connection.close()
