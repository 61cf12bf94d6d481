"""The whole: a directory that is followed, two mail servers that replicate each other, Redis, two nodes, and clients at
both who never stop to write. A server dies, comes back and gets its users back, an operator writes other routes into
the directory: all mail that was acknowledged is there afterwards, and nobody was on two servers."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .cluster import BOUND, Cluster, crowd, more_is_stored
from .dovecot import Dovecot
from .dsync import Pair
from .evidence import Inquest
from .fleet import Client, Fleet
from .redis import RedisServer
from .rerouting import SHARD_ENTRIES
from .site import User
from .wait import wait_until
from .witness import Overlap, Witness

USERS = crowd(6)

DIRECTORY_ONLY = {
    "shard": None,
    "directory": {"shards": {"base": SHARD_ENTRIES.base, "filter": SHARD_ENTRIES.filter}},
}
"""All shards have entries in the directory, so that one write moves one."""

PAUSE = 0.2
"""Seconds between two messages of a user: each has the mail servers synchronise all of the user's mail."""

SOON = {"failback_after": 1.0, "word_lasts": 10.0, "again_after": 2.0}


@pytest.fixture
def pair(folder: Path, authority: ThrowawayAuthority) -> Iterator[Pair]:
    with Pair(folder, authority, {user.name: user.password for user in USERS}) as servers:
        yield servers


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def cluster(folder: Path, authority: ThrowawayAuthority, pair: Pair, redis: RedisServer) -> Iterator[Cluster]:
    """Shard s1 is on both servers, the first preferred. The second is shard s2, too, under another name."""
    gate = pair.gate(deadline=8.0, drained_by_who=True)
    changes = {**DIRECTORY_ONLY, "director": {"failback": SOON, "gate": gate}}
    with Cluster(folder, authority, redis.url, pair.servers, USERS, changes=changes) as nodes:
        nodes.directory.add_shard("s1", place(pair.first), place(pair.second, priority=2))
        nodes.directory.add_shard("s2", place(pair.second, name="other"))
        for node in nodes.nodes:
            wait_until(lambda node=node: len(nodes.asked(node, "shards")) == 2, "the shards")  # type: ignore[misc]
        yield nodes


def place(server: Dovecot, *, name: str = "", priority: int = 1) -> str:
    """A server as a shard's entry names it."""
    ports = f"imap={server.ports['imap']} pop3={server.ports['pop3']} managesieve={server.ports['sieve']}"
    return f"{name or server.name} host={server.address} priority={priority} {ports}"


def test_no_mail_is_lost_by_a_failover_a_failback_and_moves_and_nobody_is_on_two_servers(
    cluster: Cluster, pair: Pair, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with cluster.fleet() as fleet:
        story = Story(cluster, fleet, pair)
        story.everybody_is_at(pair.first)

        killed = time.time()
        cluster.kill(pair.first)
        story.remember_what_was_stored()
        story.everybody_is_at(pair.second)

        returned = time.time()
        pair.first.start()
        story.everybody_is_at(pair.first)
        back = time.time()

        for user in USERS[:2]:
            cluster.directory.move(user.name, preferred="b")
        story.are_at(pair.second, USERS[:2])
        for user in USERS[2:4]:
            cluster.directory.move(user.name, shard="s2")
        story.are_at(pair.second, USERS[2:4])
        story.are_at(pair.first, USERS[4:])
        cluster.directory.change_shard("s1", place(pair.second))
        story.everybody_is_at(pair.second)

        fleet.end()
        witness = cluster.witness()
        overlaps = witness.overlaps()
        dead = [overlap for overlap in overlaps if killed <= overlap.began < returned]
        told = figures(fleet, witness, killed, dead) | {"until all were back, s": round(back - returned, 3)}
        for name, value in told.items():
            record_property(name, str(value))
        print("".join(f"\n{name}: {value}" for name, value in told.items()))
        assert [overlap for overlap in overlaps if overlap not in dead] == [], "failback and moves: nobody, never"
        assert [overlap for overlap in dead if overlap.seconds > BOUND] == []
        cluster.assert_nobody_was_on_two_servers(BOUND)
        pair.wait_until_in_sync()
        for server in pair.servers:
            for user in USERS:
                story.assert_all_mail_is_there(user, server, tmp_path)


class Story:
    """What happens to clients who write through both nodes, and to others who wait."""

    def __init__(self, cluster: Cluster, fleet: Fleet, pair: Pair) -> None:
        self._cluster, self._fleet, self._pair = cluster, fleet, pair
        self._clients: list[Client] = []
        for number, user in enumerate(USERS):
            here, there = cluster.places[number % 2], cluster.places[1 - number % 2]
            self._clients += [fleet.write(user, here, there, every=PAUSE), fleet.idle(user, there, here)]
        self._before: set[str] = set()

    def remember_what_was_stored(self) -> None:
        """Until now, on the server that has just been killed."""
        self._before = set().union(*(client.acknowledged | client.unknown for client in self._clients))

    def assert_all_mail_is_there(self, user: User, server: Dovecot, folder: Path) -> None:
        """Once what was acknowledged, at most once what may have been stored, and nothing else; `folder` is for what
        the servers have, if it is not.

        A mailbox whose index was half written when its server was killed is rebuilt by Dovecot, and synchronised by
        dsync as if its messages were others: then those are there twice, and the log says so.
        """
        clients = [client for client in self._clients if client.user == user]
        acknowledged = set().union(*(client.acknowledged for client in clients))
        unknown = set().union(*(client.unknown for client in clients))
        found = stored(self._pair, server, user)
        lost = acknowledged - found.keys()
        assert lost == set(), f"lost at {server.name}{self._inquest(user, clients, lost).story(folder)}"
        assert found.keys() - acknowledged - unknown == set(), "from nowhere"
        rebuilt = f"/{user.name}/mdbox/storage: rebuilding indexes" in self._pair.first.log()
        excused = self._before if rebuilt else set()
        assert {mark for mark, times in found.items() if times > 1} - excused == set(), "twice"

    def _inquest(self, user: User, clients: Sequence[Client], lost: Set[str]) -> Inquest:
        receipts = {mark: receipt for each in clients for mark, receipt in each.receipts.items() if mark in lost}
        places = {place: f"front{number}" for number, place in enumerate(self._cluster.places, 1)}
        return Inquest(self._pair, self._cluster.witness(), user.name, receipts, places)

    def everybody_is_at(self, server: Dovecot) -> None:
        """Return when all are, and have written some more there."""
        self.are_at(server, USERS)

    def are_at(self, server: Dovecot, users: Sequence[User]) -> None:
        """Return when these users are there, by what the nodes say, and all have written some more."""
        wait_until(partial(self._are_at, server, users), f"{len(users)} users to be at {server.name}")
        self._fleet.wait_until_in()
        more_is_stored(self._fleet, 30)

    def _are_at(self, server: Dovecot, users: Sequence[User]) -> bool:
        names = {user.name for user in users}
        rows = [row for node in self._cluster.nodes for row in self._cluster.asked(node, "who")]
        known_as = {"a"} if server is self._pair.first else {"b", "other"}
        there = [row["backend"] in known_as for row in rows if row["user"] in names]
        return len(there) == 2 * len(users) and all(there)


def figures(fleet: Fleet, witness: Witness, killed: float, dead: Sequence[Overlap]) -> dict[str, object]:
    """What is worth to be known."""
    report = fleet.report()
    at_partner = [witness.intervals(user.name)["b"][0][0] for user in USERS]
    return {
        "messages acknowledged": report.acknowledged,
        "messages of which nobody knows": report.unknown,
        "longest absence of a client": report.longest,
        "refusals": dict(report.failures),
        "ends of sessions": dict(report.ends),
        "from the kill to the last user's login at the partner, s": round(max(at_partner) - killed, 3),
        "longest on two servers when one was killed, s": round(max((each.seconds for each in dead), default=0.0), 3),
        "bound, s": BOUND,
    }


def stored(pair: Pair, server: Dovecot, user: User) -> Counter[str]:
    """The Message-IDs of a user's INBOX at a server, and how often each is there."""
    with pair.session(server, user.name) as imap:
        imap.select("INBOX", readonly=True)
        found = imap.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
    headers = b"".join(part[1] for part in found if isinstance(part, tuple)).decode()
    return Counter(re.findall(r"<([^>]*)>", headers))
