"""The store of a node that is alone."""

from __future__ import annotations

import asyncio

import pytest

from director.store import MAX_UNREAD, SWAPPED
from director.stores.memory import MemoryStore
from tests.director.examples import Clock

from .contract import MB1A, MB1B, Contract


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock)


class TestContract(Contract):
    @pytest.fixture
    async def store(self, clock: Clock) -> MemoryStore:
        store = MemoryStore(clock)
        await store.start()
        return store


def test_a_record_lasts_as_long_as_it_was_given(store: MemoryStore, clock: Clock) -> None:
    store.swap_now("alice", None, MB1A, 900.0)
    clock.now += 899
    assert store.read_now("alice") == MB1A
    clock.now += 1
    assert store.read_now("alice") is None
    assert store.swap_now("alice", None, MB1B, None) is SWAPPED
    clock.now += 10**6
    assert store.read_now("alice") == MB1B


async def test_what_has_expired_is_not_found_by_a_scan(store: MemoryStore, clock: Clock) -> None:
    store.swap_now("alice", None, MB1A, 900.0)
    clock.now += 900
    assert [found async for found in store.scan()] == []


def test_what_has_expired_takes_no_room(store: MemoryStore, clock: Clock) -> None:
    for number in range(1000):
        store.swap_now(f"user{number}", None, MB1A, 1.0)
    clock.now += 2
    for number in range(1000):
        store.swap_now(f"other{number}", None, MB1A, 1.0)
    assert len(store._records._passing) == 1000


def test_what_was_written_again_outlasts_its_first_end(store: MemoryStore, clock: Clock) -> None:
    store.swap_now("alice", None, MB1A, 5.0)
    store.swap_now("alice", MB1A, MB1B, 100.0)
    clock.now += 10
    store.swap_now("bob", None, MB1A, 5.0)
    assert store.read_now("alice") == MB1B


def test_changing_one_record_for_ever_takes_no_room(store: MemoryStore) -> None:
    for number in range(10_000):
        store.swap_now("alice", (MB1A, MB1B)[number % 2] if number else None, (MB1B, MB1A)[number % 2], 900.0)
    assert store._records._listed < 2000


async def test_votes_windows_and_counters_end(store: MemoryStore, clock: Clock) -> None:
    await store.vote("front1", "mb1a", "down", 10.0)
    await store.hit("192.0.2.1", 10.0)
    clock.now += 5
    assert await store.hit("192.0.2.1", 10.0) == 2
    await store.count("alice", "front1", 1, 5.0)
    clock.now += 5
    assert (await store.beat("front1", "a")).votes == ()
    assert await store.hit("192.0.2.1", 10.0) == 1
    assert await store.count("alice", "front2", 1, 5.0) == {"front2": 1}


async def test_a_nodes_age_is_the_time_since_its_heartbeat(store: MemoryStore, clock: Clock) -> None:
    await store.beat("front1", "a")
    clock.now += 7
    assert {node.name: node.age for node in (await store.beat("front2", "b")).nodes} == {"front1": 7.0, "front2": 0.0}


async def test_a_node_silent_for_a_day_is_forgotten(store: MemoryStore, clock: Clock) -> None:
    await store.beat("front1", "a")
    clock.now += 86_401
    assert [node.name for node in (await store.beat("front2", "b")).nodes] == ["front2"]


async def test_a_listener_that_does_not_listen_loses_the_oldest_messages(store: MemoryStore) -> None:
    messages = store.messages()
    first = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0)
    for number in range(MAX_UNREAD + 2):
        await store.publish(b"%d" % number)
    assert await first == b"2"
