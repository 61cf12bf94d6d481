"""Users with sessions on two nodes are moved, by one write to the directory and by draining a server: everybody leaves
before anybody arrives, by the servers' own logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .addresses import unused_address
from .cluster import Cluster, crowd, replicating_pair
from .dovecot import Dovecot
from .dsync import Pair
from .fleet import Client, Fleet
from .redis import RedisServer
from .site import User
from .vestibule import Vestibule
from .wait import wait_until

USERS = crowd(3)

MANY = crowd(200)
SESSIONS = 10
"""Of each of the many: 2,000 in all."""

LARGE = """
mail_max_userip_connections = 100
service imap { process_limit = 2500 }
service imap-login { service_count = 0 ; client_limit = 4000 ; process_limit = 4 }
service anvil { client_limit = 10000 }
service auth { client_limit = 10000 }
service config { client_limit = 10000 }
service log { client_limit = 10000 }
service stats { client_limit = 10000 }
"""
"""A server for so many sessions, which take about 2 GB in all."""

LATE = 0.5
"""Seconds that a server with two thousand processes on a few processors may need to see that a session was ended."""

MINUTES = 180.0
"""Bounds how long a broken test takes to say so (s)."""


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    with replicating_pair(folder, authority, USERS) as servers:
        yield servers


@pytest.fixture
def large(folder: Path, authority: ThrowawayAuthority) -> Iterator[tuple[Dovecot, Dovecot]]:
    """Two servers that do not replicate, for no mail is written."""
    accounts = {user.name: user.password for user in MANY}

    def server(name: str) -> Dovecot:
        address = unused_address()
        files = authority.issue(folder, f"large-{name}", ips=[address])
        return Dovecot(name, files, accounts, address=address, extra=LARGE)

    with server("a") as first, server("b") as second:
        yield first, second


def sessions(fleet: Fleet, cluster: Cluster, user: User, count: int) -> list[Client]:
    """So many clients of a user, on the nodes by turns."""
    return [fleet.idle(user, cluster.places[number % 2]) for number in range(count)]


def are_back(clients: list[Client]) -> bool:
    """Whether all of them have logged in for a second time."""
    return all(client.logins == 2 and client.online for client in clients)


def test_ten_sessions_on_two_nodes_follow_a_route_that_was_changed_in_the_directory(
    folder: Path,
    authority: ThrowawayAuthority,
    pair: Pair,
    redis: RedisServer,
    record_property: Callable[[str, object], None],
) -> None:
    with Cluster(folder, authority, redis.url, pair.servers, USERS) as cluster, cluster.fleet() as fleet:
        moved, *others = USERS
        clients = sessions(fleet, cluster, moved, 10)
        staying = [client for user in others for client in sessions(fleet, cluster, user, 2)]
        writer = fleet.write(moved, cluster.places[0], every=1.0)
        fleet.wait_until_in()
        wait_until(lambda: writer.acknowledged, "a message")
        changed = time.time()
        cluster.directory.move(moved.name, preferred="b")
        wait_until(partial(are_back, [*clients, writer]), "all to be back", MINUTES)
        left = max(ended for _, ended in cluster.witness().intervals(moved.name)["a"])
        record_property("seconds until the last session had left", round(left - changed, 3))
        assert {client.said[:3] for client in clients} == {"BYE"}
        assert {client.logins for client in staying} == {1}
        assert fleet.report().failures == {}
        cluster.assert_all_is_well(fleet, pair, moved=[moved])


def test_a_server_with_two_thousand_sessions_is_drained_and_nobody_is_refused(
    folder: Path,
    authority: ThrowawayAuthority,
    large: tuple[Dovecot, Dovecot],
    redis: RedisServer,
    record_property: Callable[[str, object], None],
) -> None:
    with Cluster(folder, authority, redis.url, large, MANY) as cluster, cluster.fleet() as fleet:
        clients = [client for user in MANY for client in sessions(fleet, cluster, user, SESSIONS)]
        fleet.wait_until_in(deadline=MINUTES)
        began = time.monotonic()
        (drained,) = cluster.asked(cluster.nodes[0], "drain", backend="a", dry=False)
        assert drained["users"] == len(MANY)
        wait_until(partial(are_back, clients), "all to be back", MINUTES)
        record_property("seconds until all were back", round(time.monotonic() - began, 1))
        report = fleet.report()
        record_property("longest time without a session", max(client.absences[-1].seconds for client in clients))
        assert {kind[:3] for kind in report.ends} == {"BYE"}
        assert report.failures == {}
        wait_until(partial(is_over, cluster, cluster.nodes[0]), "the job to be over")
        cluster.wait_until_whole()
        assert {cluster.status(node)["sessions"] for node in cluster.nodes} == {len(clients) // 2}
        assert_nobody_was_on_two_servers(cluster)


def assert_nobody_was_on_two_servers(cluster: Cluster) -> None:
    """Like the cluster's, but of two thousand processes that end at once a few write no last word: that they have
    ended is known from the server, and when is not."""
    first, _ = cluster.servers
    assert not any(user.name in first.doveadm("who") for user in MANY)
    now = time.time()
    witness = cluster.witness(until=now)
    silent = [session for session in witness.sessions if session.server == first.name and session.ended == now]
    assert len(silent) <= SESSIONS * len(MANY) // 100
    witness.sessions = [session for session in witness.sessions if session not in silent]
    assert witness.overlaps(LATE) == []
    assert all(len(witness.intervals(user.name)) == 2 for user in MANY)


def is_over(cluster: Cluster, node: Vestibule) -> bool:
    """Whether everybody who was to be moved has been."""
    return [row["over"] for row in cluster.asked(node, "moves") if row["ended"]] == [{"moved": len(MANY)}]
