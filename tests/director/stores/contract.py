"""What every store does, as tests that each store's own test file runs with its own fixture `store`."""

from __future__ import annotations

import asyncio

import pytest

from director.record import Record
from director.store import MAX_MESSAGE, SWAPPED, Store, StoreAway, Vote

MB1A = Record("mb1a", "s1", 1).encode()
MB1B = Record("mb1b", "s1", 2).encode()

SOON = 10.0
"""Longest wait in a test that is about to fail (s)."""


class Contract:
    """Inherit, and provide the fixture `store`: started and empty."""

    async def test_a_swap_puts_what_is_new_in_place_of_what_was_expected(self, store: Store) -> None:
        assert await store.swap("alice", None, MB1A, None) is SWAPPED
        assert await store.swap("alice", MB1A, MB1B, 900.0) is SWAPPED
        assert await store.read("alice") == MB1B
        assert await store.swap("alice", MB1B, None, None) is SWAPPED
        assert await store.read("alice") is None

    async def test_a_swap_of_something_else_returns_what_is_there(self, store: Store) -> None:
        assert await store.swap("alice", MB1A, MB1B, None) is None
        await store.swap("alice", None, MB1A, None)
        assert await store.swap("alice", None, MB1B, None) == MB1A
        assert await store.swap("alice", MB1B, None, None) == MB1A
        assert await store.read("alice") == MB1A

    async def test_a_swap_may_be_asked_for_again(self, store: Store) -> None:
        await store.swap("alice", None, MB1A, None)
        assert await store.swap("alice", None, MB1A, None) is SWAPPED
        await store.swap("alice", MB1A, None, None)
        assert await store.swap("alice", MB1A, None, None) is SWAPPED

    async def test_of_many_swaps_at_the_same_time_one_is_done(self, store: Store) -> None:
        records = [Record(f"mb{number}", "s1", 1).encode() for number in range(20)]
        outcomes = await asyncio.gather(*(store.swap("alice", None, record, None) for record in records))
        assert [outcome is SWAPPED for outcome in outcomes].count(True) == 1
        assert records[outcomes.index(SWAPPED)] == await store.read("alice")

    async def test_users_with_odd_names_are_users(self, store: Store) -> None:
        names = ["a}b", "{", "älice@exämple", "*", "a b", "\n"]
        for name in names:
            await store.swap(name, None, MB1A, None)
        assert {user for user, _ in [found async for found in store.scan()]} == set(names)

    async def test_a_scan_finds_everybody_or_those_of_a_backend(self, store: Store) -> None:
        wanted = {f"user{number}" for number in range(1200)}
        await asyncio.gather(*(store.swap(user, None, MB1A, None) for user in wanted))
        await store.swap("bob", None, MB1B, None)
        assert {user for user, _ in [found async for found in store.scan()]} == wanted | {"bob"}
        assert [found async for found in store.scan("mb1b")] == [("bob", MB1B)]
        assert [found async for found in store.scan("mb1")] == []

    async def test_nodes_are_known_until_they_leave(self, store: Store) -> None:
        await store.beat("front1", "a")
        nodes = (await store.beat("front2", "b c")).nodes
        assert {(node.name, node.incarnation) for node in nodes} == {("front1", "a"), ("front2", "b c")}
        assert all(0 <= node.age < SOON for node in nodes)
        await store.leave("front1")
        assert [node.name for node in (await store.beat("front2", "b c")).nodes] == ["front2"]

    async def test_the_store_stays_the_same_store(self, store: Store) -> None:
        first, second = await store.beat("front1", "a"), await store.beat("front2", "b")
        assert first.store == second.store

    async def test_the_operators_word_is_kept_until_it_is_taken_back(self, store: Store) -> None:
        await store.set_admin("mb1a", "standby")
        await store.set_admin("mb1b", "offline")
        assert (await store.beat("front1", "a")).admin == {"mb1a": "standby", "mb1b": "offline"}
        await store.set_admin("mb1a", "")
        await store.set_admin("mb9", "")
        assert (await store.beat("front1", "a")).admin == {"mb1b": "offline"}

    async def test_a_node_has_one_vote_about_each_backend(self, store: Store) -> None:
        await store.vote("front1", "mb1a", "down", 60.0)
        await store.vote("front2", "mb1a", "down", 60.0)
        await store.vote("front1", "mb1a", "up", 60.0)
        votes = (await store.beat("front1", "a")).votes
        assert set(votes) == {Vote("mb1a", "front1", "up"), Vote("mb1a", "front2", "down")}

    async def test_who_leaves_takes_its_votes_along(self, store: Store) -> None:
        await store.vote("1", "mb1a", "down", 60.0)
        await store.vote("front1", "mb1a", "down", 60.0)
        await store.leave("1")
        assert (await store.beat("front1", "a")).votes == (Vote("mb1a", "front1", "down"),)

    async def test_a_counter_has_a_share_for_each_node(self, store: Store) -> None:
        assert await store.count("user:alice", "front1", 3, 60.0) == {"front1": 3}
        assert await store.count("user:alice", "front2", 1, 60.0) == {"front1": 3, "front2": 1}
        assert await store.count("user:alice", "front1", 2, 60.0) == {"front1": 2, "front2": 1}
        assert await store.count("user:alice", "front1", 0, 60.0) == {"front2": 1}
        assert await store.count("user:alice", "front2", 0, 60.0) == {}
        assert await store.count("user:bob", "front2", 0, 60.0) == {}

    async def test_events_are_counted_by_their_key(self, store: Store) -> None:
        assert [await store.hit("192.0.2.1", 60.0) for _ in range(3)] == [1, 2, 3]
        assert await store.hit("192.0.2.2", 60.0) == 1

    async def test_a_message_reaches_who_listens(self, store: Store) -> None:
        messages = store.messages()
        first = asyncio.ensure_future(anext(messages))
        while not first.done():  # the first may come before somebody listens
            await store.publish(b"hint")
            await asyncio.sleep(0)
        assert first.result() == b"hint"
        await store.publish(b"last \xff\0")
        async with asyncio.timeout(SOON):
            while await anext(messages) != b"last \xff\0":
                pass
        await messages.aclose()  # type: ignore[attr-defined]

    async def test_a_message_that_carries_too_much_is_refused(self, store: Store) -> None:
        with pytest.raises(ValueError):
            await store.publish(b"x" * (MAX_MESSAGE + 1))

    async def test_listeners_are_told_when_the_store_is_closed(self, store: Store) -> None:
        await listening(store)
        messages = store.messages()
        listener = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0)
        await store.close()
        async with asyncio.timeout(SOON):
            with pytest.raises(StoreAway):
                await listener


async def listening(store: Store) -> None:
    """The store is there and answers."""
    await store.read("nobody")
