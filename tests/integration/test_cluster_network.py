"""One of two nodes is cut off: from Redis, from a mail server, from everything. Whatever it still does, no user is on
two servers, and what was acknowledged is there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .cluster import Cluster, crowd, more_is_stored, replicating_pair
from .dsync import Pair
from .fleet import Fleet
from .network import Network
from .redis import RedisServer
from .wait import wait_until

USERS = crowd(4)

IMPATIENT = {"patience": 10.0, "check_every": 1.0}
"""Clients that find out soon when nobody is there any more, but wait for a node that wants to agree with others."""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("front1", "front2") as built:
        yield built


@pytest.fixture
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    with replicating_pair(folder, authority, USERS) as servers:
        yield servers


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def cluster(
    folder: Path, authority: ThrowawayAuthority, pair: Pair, redis: RedisServer, network: Network
) -> Iterator[Cluster]:
    with Cluster(folder, authority, redis.url, pair.servers, USERS, network=network) as nodes:
        yield nodes


def somebody_was_refused(fleet: Fleet) -> bool:
    """Whether a client was told to come back later."""
    return any(kind.startswith("login: NO [UNAVAILABLE]") for kind in fleet.report().failures)


def test_a_node_without_the_store_goes_on_where_its_users_are(
    cluster: Cluster, pair: Pair, redis: RedisServer, network: Network
) -> None:
    cut_off, other = cluster.nodes
    cluster.move(USERS[0], "b")
    with cluster.fleet() as fleet:
        cluster.everybody(fleet, USERS[:3])
        network.cut("front1", redis.address)
        wait_until(partial(cluster.is_away, cut_off), "the node to notice")
        assert not cluster.is_away(other)
        fleet.wait_until_in([fleet.idle(user, place) for user in USERS for place in cluster.places])
        more_is_stored(fleet)
        network.heal("front1", redis.address)
        cluster.wait_until_whole()
        more_is_stored(fleet)
        cluster.assert_nobody_noticed(fleet)
        cluster.assert_all_is_well(fleet, pair, moved=USERS[:1])


def test_a_node_that_alone_cannot_reach_a_server_sends_nobody_to_its_partner(
    cluster: Cluster, pair: Pair, network: Network
) -> None:
    blind, other = cluster.nodes
    with cluster.fleet(**IMPATIENT) as fleet:
        clients = cluster.everybody(fleet)
        network.cut("front1", pair.first.address)
        wait_until(lambda: cluster.standing(blind, "a") == "alone", "the node to notice")
        assert cluster.standing(other, "a") == "up"
        at_blind_only = fleet.idle(USERS[0], cluster.place(blind))
        wait_until(partial(somebody_was_refused, fleet), "a login to be refused")
        wait_until(lambda: all(client.where == cluster.place(other) for client in clients), "all to be at the other")
        fleet.wait_until_in(clients)
        more_is_stored(fleet)
        network.heal("front1", pair.first.address)
        fleet.wait_until_in([*clients, at_blind_only])
        assert at_blind_only.where == cluster.place(blind)
        cluster.assert_all_is_well(fleet, pair)


def test_users_of_a_node_that_is_cut_off_from_everything_go_on_at_the_other(
    cluster: Cluster, pair: Pair, network: Network
) -> None:
    lost, other = cluster.nodes
    with cluster.fleet(**IMPATIENT) as fleet:
        clients = cluster.everybody(fleet)
        network.isolate("front1")
        wait_until(lambda: all(client.where == cluster.place(other) for client in clients), "all to be at the other")
        fleet.wait_until_in(clients)
        more_is_stored(fleet)
        wait_until(lambda: cluster.living(other) == ["front2"], "the node to be forgotten")
        network.join("front1")
        cluster.wait_until_whole()
        fleet.wait_until_in([fleet.idle(user, cluster.place(lost)) for user in USERS])
        more_is_stored(fleet)
        cluster.assert_all_is_well(fleet, pair)


def test_what_a_lost_node_still_has_of_users_who_were_moved_is_ended_when_it_is_back(
    cluster: Cluster, pair: Pair, network: Network
) -> None:
    lost, other = cluster.nodes
    with cluster.fleet(**IMPATIENT) as fleet:
        fleet.idle(USERS[0], cluster.place(lost), cluster.place(other))
        fleet.wait_until_in()
        network.isolate("front1")
        wait_until(lambda: cluster.living(other) == ["front2"], "the node to be forgotten")
        cluster.move(USERS[0], "b", other)
        wait_until(lambda: fleet.online_at(cluster.place(other)) == 1, "the user to be at the other node")
        network.join("front1")
        cluster.wait_until_whole()
        pair.first.wait_for_log(rf"imap\({USERS[0].name}\).*(Disconnected|Connection closed)")
        fleet.wait_until_in([fleet.idle(USERS[0], cluster.place(lost))])
        assert {row["backend"] for node in cluster.nodes for row in cluster.asked(node, "who")} == {"b"}
