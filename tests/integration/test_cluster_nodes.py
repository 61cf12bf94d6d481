"""Two nodes of which one fails, or a process of it, or its clock: nobody's mail is lost, nobody is on two servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .clocks import another_boot, wrong_wall_clock
from .cluster import Cluster, crowd, more_is_stored, replicating_pair
from .dsync import Pair
from .fleet import Fleet
from .redis import RedisServer
from .vestibule import Vestibule
from .wait import wait_until

USERS = crowd(4)


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


@pytest.fixture
def fleet(cluster: Cluster) -> Iterator[Fleet]:
    with cluster.fleet() as clients:
        yield clients


def test_users_of_a_killed_node_are_served_by_the_other_at_the_same_server(
    cluster: Cluster, fleet: Fleet, pair: Pair
) -> None:
    clients = cluster.everybody(fleet)
    killed, other = cluster.nodes
    killed.kill()
    wait_until(lambda: all(client.where == cluster.place(other) and client.online for client in clients), "the others")
    more_is_stored(fleet)
    wait_until(lambda: len(cluster.living(other)) == 1, "the dead node to be forgotten")
    cluster.move(USERS[0], "b", other)  # which the dead node does not hold up
    fleet.wait_until_in(clients)
    killed.start()
    cluster.wait_until_whole()
    fleet.idle(USERS[0], cluster.place(killed))
    fleet.wait_until_in()
    cluster.assert_all_is_well(fleet, pair, moved=USERS[:1])


def test_a_killed_worker_takes_its_own_sessions_along_and_they_come_back_to_the_same_server(
    cluster: Cluster, fleet: Fleet, pair: Pair
) -> None:
    clients = cluster.everybody(fleet)
    for node in cluster.nodes:
        node.kill_worker()
    wait_until(lambda: all(len(node.workers()) == 2 for node in cluster.nodes), "other workers")
    fleet.wait_until_in(clients)
    more_is_stored(fleet)
    cluster.wait_until_whole()
    for node in cluster.nodes:
        wait_until(lambda node=node: counted(cluster, node) == there(cluster, fleet, node), "nobody to be left")  # type: ignore[misc]
    cluster.assert_all_is_well(fleet, pair)


def test_sessions_do_not_notice_that_a_director_is_killed_and_logins_wait_for_the_next(
    cluster: Cluster, fleet: Fleet, pair: Pair
) -> None:
    cluster.everybody(fleet)
    for node in cluster.nodes:
        sessions = there(cluster, fleet, node)
        node.kill_director()
        fleet.idle(USERS[0], cluster.place(node))
        fleet.wait_until_in()
        wait_until(lambda node=node, at=sessions + 1: counted(cluster, node) == at, "the books to be whole again")  # type: ignore[misc]
    more_is_stored(fleet)
    cluster.wait_until_whole()
    cluster.assert_nobody_noticed(fleet)
    cluster.assert_all_is_well(fleet, pair)


@pytest.mark.skipif(os.geteuid() != 0, reason="time namespaces need root")
def test_nodes_agree_though_their_clocks_do_not(
    folder: Path, authority: ThrowawayAuthority, pair: Pair, redis: RedisServer, tmp_path: Path
) -> None:
    early, late = tmp_path / "early", tmp_path / "late"
    for path in (early, late):
        path.mkdir()
    clocks = {
        "front1": wrong_wall_clock(early, -300),
        "front2": [*another_boot(100_000), *wrong_wall_clock(late, 420)],
    }
    with (
        Cluster(folder, authority, redis.url, pair.servers, USERS, prefixes=clocks) as cluster,
        cluster.fleet() as fleet,
    ):
        cluster.everybody(fleet)
        for node in cluster.nodes:
            assert len(cluster.living(node)) == 2
        cluster.move(USERS[0], "b")
        fleet.wait_until_in()
        more_is_stored(fleet)
        cluster.nodes[1].kill_director()
        cluster.wait_until_whole()
        cluster.assert_all_is_well(fleet, pair, moved=USERS[:1])


def counted(cluster: Cluster, node: Vestibule) -> int:
    """How many sessions a node's director knows of."""
    return int(cluster.status(node).get("sessions", -1))


def there(cluster: Cluster, fleet: Fleet, node: Vestibule) -> int:
    """How many of the fleet's clients are at a node."""
    return fleet.online_at(cluster.place(node))
