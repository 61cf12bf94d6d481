"""The Redis of two nodes fails: sessions do not notice, logins go on with what each node knows, and nobody is on two
servers; when it is back, the nodes agree again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .cluster import Cluster, crowd, more_is_stored, replicating_pair
from .dsync import Pair
from .redis import RedisServer, Sentinels
from .site import User
from .wait import wait_until

USERS = crowd(6)

MOVED, STRANGERS = USERS[0], USERS[4:]
"""Who is not where everybody else is, and who is nowhere yet when the store goes away."""


@pytest.fixture
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    with replicating_pair(folder, authority, USERS) as servers:
        yield servers


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def cluster(folder: Path, authority: ThrowawayAuthority, pair: Pair, redis: RedisServer) -> Iterator[Cluster]:
    with Cluster(folder, authority, redis.url, pair.servers, USERS) as nodes:
        yield nodes


def assert_an_outage_is_survived(
    cluster: Cluster, pair: Pair, begin: Callable[[], None], end: Callable[[], None]
) -> None:
    """All users log in at all nodes while the store is away, strangers for the first time."""
    cluster.move(MOVED, "b")
    with cluster.fleet() as fleet:
        cluster.everybody(fleet, USERS[:4])
        begin()
        for node in cluster.nodes:
            wait_until(partial(cluster.is_away, node), "the nodes to notice")
        meanwhile = [fleet.idle(user, place) for user in USERS for place in cluster.places]
        fleet.wait_until_in(meanwhile)
        more_is_stored(fleet)
        end()
        cluster.wait_until_whole()
        more_is_stored(fleet)
        cluster.assert_nobody_noticed(fleet)
        assert_the_store_has_everybody(cluster)
        cluster.assert_all_is_well(fleet, pair, moved=[MOVED])


def assert_the_store_has_everybody(cluster: Cluster) -> None:
    """Where they are, and that both nodes have sessions of them."""
    for user in USERS:
        wait_until(partial(is_held_by_both, cluster, user), f"the record of {user.name}")
        assert cluster.record(user)["backend"] == ("b" if user is MOVED else "a")


def is_held_by_both(cluster: Cluster, user: User) -> bool:
    """Whether the store says that both nodes have sessions of a user."""
    lives = {cluster.status(node)["life"] for node in cluster.nodes}
    return set(cluster.record(user).get("holds", ())) == lives


def test_a_redis_that_is_killed_and_comes_back_empty(cluster: Cluster, pair: Pair, redis: RedisServer) -> None:
    assert_an_outage_is_survived(cluster, pair, redis.kill, redis.start)


def test_a_redis_that_hangs_for_a_while(cluster: Cluster, pair: Pair, redis: RedisServer) -> None:
    assert_an_outage_is_survived(cluster, pair, redis.pause, redis.resume)


def test_a_redis_that_is_emptied(cluster: Cluster, pair: Pair, redis: RedisServer) -> None:
    cluster.move(MOVED, "b")
    with cluster.fleet() as fleet:
        cluster.everybody(fleet)
        redis.cli("FLUSHALL")
        assert_the_store_has_everybody(cluster)
        more_is_stored(fleet)
        cluster.assert_nobody_noticed(fleet)
        cluster.assert_all_is_well(fleet, pair, moved=[MOVED])


def test_a_redis_whose_place_sentinel_gives_to_its_replica(
    folder: Path, authority: ThrowawayAuthority, pair: Pair
) -> None:
    with Sentinels() as redis, Cluster(folder, authority, redis.url, pair.servers, USERS) as cluster:
        assert_an_outage_is_survived(cluster, pair, redis.master.kill, redis.wait_for_failover)
        redis.master.start()
        wait_until(lambda: redis.master.plays("slave"), "the old master to follow")
        cluster.wait_until_whole()
