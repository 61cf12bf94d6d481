"""The store that nodes share, with real servers: one, with TLS and a password, behind Sentinel, in a Cluster."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from director.store import SWAPPED, StoreAway
from director.stores.redis import MAX_WAITING, RedisStore
from director.stores.settings import RedisSettings
from tests.integration.addresses import free_ports
from tests.integration.processes import give_away
from tests.integration.redis import RedisServer, Sentinels, url
from tests.integration.wait import wait_until
from tls import ThrowawayAuthority

from .contract import MB1A, MB1B, Contract

T = TypeVar("T")

PATIENT = 5.0
"""A deadline that nothing here reaches unless the server hangs or is away (s)."""

IMPATIENT = 0.2
"""A deadline for tests that reach it (s)."""

FAR = 30.0
"""Bounds how long a broken test takes to say so (s)."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian package redis-server is not installed"),
]


@asynccontextmanager
async def opened(settings: RedisSettings, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[RedisStore]:
    store = RedisStore(settings, clock)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def until(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns as soon as the store is not away."""
    async with asyncio.timeout(FAR):
        while True:
            try:
                return await ask()
            except StoreAway:
                await asyncio.sleep(0)


async def the_end(messages: AsyncIterator[bytes]) -> None:
    """Listen until it is over."""
    async with asyncio.timeout(FAR):
        async for _ in messages:
            pass


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """Shared by all tests that do not harm it."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own() -> Iterator[RedisServer]:
    """A server to be harmed."""
    with RedisServer() as server:
        yield server


def settings(server: RedisServer, deadline: float = PATIENT) -> RedisSettings:
    return RedisSettings(url=url("redis", [server]), deadline=deadline)


class TestContract(Contract):
    """One server."""

    @pytest.fixture
    async def store(self, server: RedisServer) -> AsyncIterator[RedisStore]:
        server.cli("FLUSHALL")
        async with opened(settings(server)) as store:
            yield store


# --- times ---


async def test_a_record_lasts_by_the_servers_clock(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    async with opened(settings(server)) as store:
        await store.swap("alice", None, MB1A, 900.0)
        await store.swap("bob", None, MB1A, None)
        assert 899_000 < int(server.cli("PTTL", "vestibule:u:{alice}")) <= 900_000
        assert int(server.cli("PTTL", "vestibule:u:{bob}")) == -1
        await store.swap("alice", MB1A, MB1B, None)
        assert int(server.cli("PTTL", "vestibule:u:{alice}")) == -1


async def test_votes_windows_and_counters_end(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    async with opened(settings(server)) as store:
        await store.vote("front1", "mb1a", "down", 0.001)
        await store.hit("192.0.2.1", 0.001)
        await store.count("alice", "front1", 1, 0.001)
        wait_until(lambda: server.cli("EXISTS", "vestibule:h:192.0.2.1", "vestibule:c:alice").strip() == "0")
        assert await until_no_votes(store)
        assert await store.hit("192.0.2.1", 60.0) == 1


async def until_no_votes(store: RedisStore) -> bool:
    async with asyncio.timeout(FAR):
        while (await store.beat("front1", "a")).votes:
            pass
    return True


async def test_a_node_silent_for_a_day_is_forgotten(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    server.cli("HSET", "vestibule:{t}:nodes", "old", f"{int(time.time() * 1000) - 86_500_000} 7 a")
    async with opened(settings(server)) as store:
        assert [node.name for node in (await store.beat("front1", "a")).nodes] == ["front1"]


async def test_a_node_is_not_dead_because_the_servers_clock_has_jumped(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    async with opened(settings(server)) as store:
        await store.beat("front1", "a")
        server.cli("HSET", "vestibule:{t}:nodes", "front1", f"{int(time.time() * 1000) - 600_000} 2 a")
        ages = {node.name: node.age for node in (await store.beat("front2", "b")).nodes}
        assert ages["front1"] == 0.0


# --- sharing ---


async def test_two_nodes_and_two_prefixes_share_what_they_should(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    other = RedisSettings(url=url("redis", [server], "/1"), prefix="other", deadline=PATIENT)
    async with opened(settings(server)) as one, opened(settings(server)) as two, opened(other) as stranger:
        assert await one.swap("alice", None, MB1A, None) is SWAPPED
        assert await two.swap("alice", None, MB1B, None) == MB1A
        assert await stranger.read("alice") is None


async def test_what_a_stranger_has_put_there_makes_only_that_user_unavailable(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    server.cli("LPUSH", "vestibule:u:{alice}", "1")
    async with opened(settings(server)) as store:
        alice, bob = await asyncio.gather(
            store.swap("alice", None, MB1A, None), store.swap("bob", None, MB1A, None), return_exceptions=True
        )
    assert isinstance(alice, StoreAway)
    assert bob is SWAPPED


async def test_who_has_given_up_does_not_disturb_the_others(server: RedisServer) -> None:
    server.cli("FLUSHALL")
    async with opened(settings(server)) as store:
        impatient = asyncio.ensure_future(store.swap("alice", None, MB1A, None))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await store.swap("bob", None, MB1A, None) is SWAPPED


# --- outages ---


async def test_a_store_that_is_closed_or_never_began_is_away(server: RedisServer) -> None:
    store = RedisStore(settings(server))
    with pytest.raises(StoreAway):
        await store.read("alice")
    await store.close()


async def test_closing_answers_who_is_waiting(own: RedisServer) -> None:
    async with opened(settings(own)) as store:
        await store.read("alice")
        own.pause()
        under_way = asyncio.ensure_future(store.read("alice"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        behind = asyncio.ensure_future(store.read("bob"))
        await asyncio.sleep(0)
        await store.close()
        outcomes = await asyncio.gather(under_way, behind, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreAway, StoreAway]


async def test_only_so_many_wait(own: RedisServer) -> None:
    async with opened(settings(own, IMPATIENT)) as store:
        await store.read("alice")
        own.pause()
        waiting = [store._ask(("GET", b"alice")) for _ in range(MAX_WAITING + 1)]
        with pytest.raises(StoreAway, match="too many"):
            await waiting.pop()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreAway}


async def test_a_server_that_hangs_is_away_within_the_deadline_and_back_when_it_goes_on(own: RedisServer) -> None:
    async with opened(settings(own, IMPATIENT)) as store:
        await until(lambda: store.swap("alice", None, MB1A, None))
        own.pause()
        asking = (store.swap(f"user{n}", None, MB1A, None) for n in range(2000))
        async with asyncio.timeout(FAR):
            outcomes = await asyncio.gather(*asking, store.beat("front1", "a"), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreAway}
        with pytest.raises(StoreAway):
            await store.publish(b"hint")
        with pytest.raises(StoreAway):
            [found async for found in store.scan()]
        with pytest.raises(StoreAway):
            await anext(store.messages())
        own.resume()
        assert await until(lambda: store.read("alice")) == MB1A


async def test_a_server_killed_and_restarted_empty_is_another_store(own: RedisServer) -> None:
    async with opened(settings(own)) as store:
        await store.swap("alice", None, MB1A, None)
        before = (await store.beat("front1", "a")).store
        own.kill()
        with pytest.raises(StoreAway):
            await store.swap("alice", MB1A, MB1B, None)
        own.start()
        assert await until(lambda: store.swap("alice", MB1A, MB1B, None)) is None
        assert (await until(lambda: store.beat("front1", "a"))).store != before


async def test_a_server_that_was_emptied_is_another_store(own: RedisServer) -> None:
    async with opened(settings(own)) as store:
        before = (await store.beat("front1", "a")).store
        own.cli("FLUSHALL")
        assert (await store.beat("front1", "a")).store != before


async def test_the_first_heartbeat_in_a_server_that_was_emptied_is_news(own: RedisServer) -> None:
    now = 0.0
    async with opened(settings(own)) as store, opened(settings(own), lambda: now) as other:
        for _ in range(2):
            await store.beat("front1", "a")
            await other.beat("front2", "b")
            own.cli("FLUSHALL")
            now += 60.0
        await store.beat("front1", "a")
        assert {node.name: node.age for node in (await other.beat("front2", "b")).nodes}["front1"] == 0.0


async def test_listeners_learn_that_the_server_is_gone(own: RedisServer) -> None:
    async with opened(settings(own)) as store:
        messages = store.messages()
        listener = asyncio.ensure_future(anext(messages))
        while not listener.done():
            await store.publish(b"hint")
        own.kill()
        with pytest.raises(StoreAway):
            await the_end(messages)


async def test_listeners_learn_that_the_server_hangs(own: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("director.stores.redis._QUIET", 0.05)
    async with opened(settings(own, IMPATIENT)) as store:
        messages = store.messages()
        listener = asyncio.ensure_future(anext(messages))
        while not listener.done():
            await store.publish(b"hint")
        own.pause()
        with pytest.raises(StoreAway):
            await the_end(messages)


# --- TLS and passwords ---


async def test_a_server_with_tls_and_a_password_is_used_and_a_wrong_one_is_away(tmp_path: Path) -> None:
    server = RedisServer(tls=True)
    authority = ThrowawayAuthority()
    files = authority.issue(server.home, "redis", ips=[server.address])
    for path in server.home.iterdir():
        path.chmod(0o644)
        give_away(path)
    secret, ca_file = tmp_path / "redis.secret", authority.write_ca(tmp_path / "ca.pem")
    secret.write_text("wrong\n")
    server.option(
        f"tls-cert-file {files.chain}", f"tls-key-file {files.key}", "tls-auth-clients no", "requirepass right"
    )
    where = RedisSettings(url=url("rediss", [server]), password_file=secret, ca_file=ca_file, deadline=PATIENT)
    distrusting = RedisSettings(url=url("rediss", [server]), password_file=secret, deadline=PATIENT)
    with server:
        async with opened(where) as store, opened(distrusting) as other:
            with pytest.raises(StoreAway) as refused:
                await store.read("alice")
            assert "wrong" not in str(refused.value)
            secret.write_text("right\n")
            assert await store.swap("alice", None, MB1A, None) is SWAPPED
            assert await store.read("alice") == MB1A
            with pytest.raises(StoreAway, match="certificate"):
                await other.read("alice")


# --- Sentinel ---


@pytest.mark.parametrize("end", [RedisServer.kill, RedisServer.pause], ids=["killed", "hung"])
async def test_sentinel_says_which_server_it_is(end: Callable[[RedisServer], None]) -> None:
    with Sentinels(1) as servers:
        where = RedisSettings(url=servers.url, deadline=0.5)
        async with opened(where) as store:
            assert await until(lambda: store.swap("alice", None, MB1A, None)) is SWAPPED
            before = (await until(lambda: store.beat("front1", "a"))).store
            wait_until(lambda: servers.replica.cli("EXISTS", "vestibule:u:{alice}").strip() == "1", "replication")
            end(servers.master)
            assert await until(lambda: store.swap("alice", MB1A, MB1B, None)) is SWAPPED
            assert servers.replica.cli("GET", "vestibule:u:{alice}").encode().startswith(MB1B[:7])
            assert (await until(lambda: store.beat("front1", "a"))).store != before


# --- Cluster ---


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters that share the slots."""
    with ExitStack() as stack:
        servers = []
        for _ in range(3):
            server = RedisServer("cluster-enabled yes", "cluster-node-timeout 2000", "cluster-require-full-coverage no")
            server.option(f"cluster-port {free_ports(server.address, 1)[0]}")
            servers.append(stack.enter_context(server))
        servers[0].cli("--cluster", "create", *(server.place for server in servers), "--cluster-yes")
        for server in servers:
            wait_until(lambda server=server: "cluster_state:ok" in server.cli("CLUSTER", "INFO"), "the cluster")  # type: ignore[misc]
        yield servers


class TestCluster(Contract):
    """Three masters, of which the store is told two."""

    @pytest.fixture
    async def store(self, cluster: list[RedisServer]) -> AsyncIterator[RedisStore]:
        for server in cluster:
            server.cli("FLUSHALL")
        where = RedisSettings(url=url("redis+cluster", cluster[:2]), deadline=PATIENT)
        async with opened(where) as store:
            yield store


async def test_a_cluster_without_one_of_its_servers_serves_the_others_users(cluster: list[RedisServer]) -> None:
    where = RedisSettings(url=url("redis+cluster", cluster), deadline=2.0)
    async with opened(where) as store:
        before = (await until(lambda: store.beat("front1", "a"))).store
        cluster[2].kill()
        outcomes = await asyncio.gather(*(outcome(store, f"user{number}") for number in range(30)))
        assert outcomes.count(None) > 5
        assert any(isinstance(found, StoreAway) for found in outcomes)
        cluster[2].start()
        for number in range(30):
            await until(lambda number=number: store.read(f"user{number}"))  # type: ignore[misc]
        assert (await until(lambda: store.beat("front1", "a"))).store != before


async def outcome(store: RedisStore, user: str) -> bytes | StoreAway | None:
    try:
        return await store.read(user)
    except StoreAway as away:
        return away
