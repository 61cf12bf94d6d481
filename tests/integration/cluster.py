"""Several nodes with one store before two mail servers, a directory they follow, and clients at all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from director import Unanswered, ask
from tls import ThrowawayAuthority

from .clients import trusting
from .dovecot import Dovecot
from .dsync import Pair
from .fleet import Client, Fleet, Place
from .network import Network
from .rerouting import RoutingDirectory, routing_directory
from .site import User, certificate_table, merged, shard
from .vestibule import Vestibule
from .wait import wait_until
from .witness import Witness

BOUND = 1.5
"""Seconds for which a user may be on two servers by the servers' logs, when one of them fails: `kick_spread` and the
time it takes to write a log. In all other cases it is nothing at all."""

DIRECTOR: Mapping[str, Any] = {
    "heartbeat": 0.3,
    "node_timeout": 5.0,
    "kick_spread": 1.0,
    "health": {"every": 0.3, "timeout": 3.0},
    "votes": {"ramp": 0.0},
    "redis": {"deadline": 2.0},
    "limits": {"exempt": ["127.0.0.0/8", "198.18.0.0/15"]},
}
"""Quick, but it takes seconds to pass for dead: on a machine that runs all tests at once servers may take more than one
to answer. Clients of tests are all at one address."""


def more_is_stored(fleet: Fleet, count: int = 100) -> None:
    """Return when so many more messages have been stored."""
    before = fleet.report().acknowledged
    wait_until(lambda: fleet.report().acknowledged >= before + count, "more messages")


@contextmanager
def replicating_pair(folder: Path, authority: ThrowawayAuthority, users: Sequence[User]) -> Iterator[Pair]:
    """Two servers with a message for each of the users: Dovecot has races where an INBOX begins."""
    with Pair(folder, authority, {user.name: user.password for user in users}) as pair:
        for user in users:
            pair.write(pair.first, user.name, f"welcome.{user.name}@fleet")
        pair.wait_until_in_sync()
        yield pair


def crowd(count: int) -> list[User]:
    """So many users, whom a cluster's directory knows."""
    return [User(f"user{number}", f"secret-{number}") for number in range(count)]


class Cluster:
    """Nodes named front1, front2, …, all with `store`, before two servers that hold shard s1; the first is preferred.

    `users` have an account at the directory; that they have one at the servers is up to whoever makes those. With a
    `network`, each node runs in its part of the same name. `prefixes` are what nodes' command lines begin with
    besides, `changes` are merged into the configuration of all nodes.
    """

    def __init__(
        self,
        folder: Path,
        authority: ThrowawayAuthority,
        store: str,
        servers: tuple[Dovecot, Dovecot],
        users: Sequence[User],
        *,
        names: Sequence[str] = ("front1", "front2"),
        network: Network | None = None,
        prefixes: Mapping[str, Sequence[str]] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.servers, self.users = servers, list(users)
        self._folder, self._authority = folder, authority
        self._ca_file = authority.write_ca(folder / "cluster.ca.pem")
        self._store, self._network = store, network
        self._names, self._prefixes, self._changes = names, prefixes or {}, changes or {}
        self._kills: dict[str, list[float]] = {server.name: [] for server in servers}
        self.nodes: list[Vestibule] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory: RoutingDirectory = stack.enter_context(routing_directory())
            for user in self.users:
                self.directory.add_user(user.name, user.password, "s1")
            self.nodes = [self._node(name) for name in self._names]
            for node in self.nodes:
                stack.enter_context(node)
            self.wait_until_whole()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    # --- clients ---

    def fleet(self, **options: Any) -> Fleet:
        """Clients that trust the nodes."""
        return Fleet(trusting(self._ca_file), **options)

    def place(self, node: Vestibule) -> Place:
        """Where clients find a node."""
        return Place(node.address, node.ports["imaps"])

    @property
    def places(self) -> list[Place]:
        """Where clients find the nodes."""
        return [self.place(node) for node in self.nodes]

    def everybody(self, fleet: Fleet, users: Sequence[User] = ()) -> list[Client]:
        """Each of these users, or all, with somebody who writes and somebody who waits, each at another node first;
        when all are in."""
        clients = []
        for number, user in enumerate(users or self.users):
            here, there = self.places[number % 2 :] + self.places[: number % 2]
            clients += [fleet.write(user, here, there), fleet.idle(user, there, here)]
        fleet.wait_until_in(clients)
        return clients

    # --- what the nodes say ---

    def asked(self, node: Vestibule, question: str, **more: object) -> list[dict[str, Any]]:
        """A node's answer to an operator, the rows of a listing put together."""
        answers = list(ask(node.home / "control.sock", {"ask": question, **more}))
        return [row for answer in answers for row in answer["rows"]] if "rows" in answers[0] else answers

    def status(self, node: Vestibule) -> dict[str, Any]:
        """A node's status; empty while its director does not answer."""
        try:
            (answer,) = self.asked(node, "status")
        except Unanswered:
            return {}
        return answer

    def is_away(self, node: Vestibule) -> bool:
        """Whether the store is out of the node's reach, as far as it knows."""
        status = self.status(node)
        return bool(status) and bool(status["store"]["away"])

    def standing(self, node: Vestibule, backend: str) -> str:
        """How a backend stands, as a node sees it."""
        rows = self.asked(node, "backends")
        return next(str(row["standing"]) for row in rows if row["backend"] == backend)

    def living(self, node: Vestibule) -> list[str]:
        """The names of the nodes that a node believes to live."""
        return [str(one["name"]).partition("/")[0] for one in self.status(node).get("nodes", ()) if one["living"]]

    def record(self, user: User, node: Vestibule | None = None) -> dict[str, Any]:
        """What the nodes share about a user, as the first or another one tells it; empty if that is nothing."""
        (answer,) = self.asked(node or self.nodes[0], "explain", user=user.name)
        return answer["record"] or {}

    def move(self, user: User, backend: str, node: Vestibule | None = None) -> None:
        """Have a user moved, by an order to the first or another node, and return when that is done."""
        asked = node or self.nodes[0]
        self.asked(asked, "move", user=user.name, backend=backend, dry=False)
        wait_until(partial(self._is_at, user, backend, asked), f"{user.name} to be moved to {backend}")

    def _is_at(self, user: User, backend: str, node: Vestibule) -> bool:
        record = self.record(user, node)
        return record.get("backend") == backend and not record["target"]

    def wait_until_whole(self, nodes: Iterable[Vestibule] = ()) -> None:
        """Return when these nodes, or all, reach the store, know of each other, and are sure of all their users."""
        wanted = list(nodes) or self.nodes
        for node in wanted:
            wait_until(partial(self._is_whole, node, len(wanted)), f"the node {node.address} to be whole")

    def _is_whole(self, node: Vestibule, nodes: int) -> bool:
        status = self.status(node)
        living = [one for one in status.get("nodes", ()) if one["living"]]
        return len(living) == nodes and not status["store"]["away"] and not status["unsure"] and bool(status["workers"])

    def story(self) -> str:
        """What the nodes have logged lately besides sessions, and why sessions have ended: for who reads a failure."""
        lines = []
        for name, node in zip(self._names, self.nodes, strict=True):
            logged = node.log_lines()
            messages = [f"{name} {line['time']} {line['message']}" for line in logged if "message" in line]
            closed = Counter(
                (line.get("backend"), line.get("closed_by")) for line in logged if line.get("event") == "session"
            )
            lines += [*messages[-20:], f"{name} sessions that ended: {dict(closed)}"]
        return "\n" + "\n".join(lines)

    def assert_nobody_noticed(self, fleet: Fleet) -> None:
        """No session of the fleet has ended, and no login was refused."""
        report = fleet.report()
        assert not report.ends, f"{dict(report.ends)}{self.story()}"
        assert not report.failures, f"{dict(report.failures)}{self.story()}"

    # --- what the servers say ---

    def kill(self, server: Dovecot) -> None:
        """End a mail server and all its sessions at once."""
        server.kill()
        self._kills[server.name].append(time.time())

    def witness(self, until: float | None = None) -> Witness:
        """What both servers have logged until now; what has no end there lasts `until` then."""
        return Witness({server.name: server.log() for server in self.servers}, self._kills, until=until)

    def used(self, user: User) -> set[str]:
        """The servers that a user has ever been on."""
        return set(self.witness().intervals(user.name))

    def assert_nobody_was_on_two_servers(self, bound: float = 0.0) -> None:
        """By the servers' own logs, for longer than so many seconds; nor do the nodes believe that anybody is."""
        overlaps = self.witness().overlaps(bound)
        assert not overlaps, f"{len(overlaps)}, the longest of which: {overlaps[:5]}"
        told = [status["users_on_two_backends"] for status in map(self.status, self.nodes) if status]
        assert not any(told), told

    def assert_all_is_well(self, fleet: Fleet, pair: Pair, *, moved: Sequence[User] = (), bound: float = 0.0) -> None:
        """When the fleet has ended: no message is missing; only those who were `moved` were ever on the second server,
        and on both at once only for as long as `bound` (s)."""
        fleet.end()
        pair.wait_until_in_sync()
        missing = fleet.missing(*self.places)
        assert not missing, missing
        strayed = {user.name for user in self.users if self.servers[1].name in self.used(user)}
        assert strayed == {user.name for user in moved}, strayed
        self.assert_nobody_was_on_two_servers(bound)

    # --- details ---

    def _node(self, name: str) -> Vestibule:
        prefix = [*(self._network.prefix(name) if self._network else ()), *self._prefixes.get(name, ())]
        address = self._network.address(name) if self._network else ""
        sections = merged(self._sections(name), self._changes)
        node = Vestibule(sections, workers=2, address=address, prefix=prefix)
        files = self._authority.issue(self._folder, node.home.name, ips=[node.address])
        node.configure({**sections, "certificate": [certificate_table(files)]})
        return node

    def _sections(self, name: str) -> dict[str, Any]:
        slapd = self.directory.server
        return {
            "node": {"name": name},
            "admin": {"allow_from": ["198.18.0.0/15"]},
            "directory": {
                "kind": "ldap",
                "servers": [slapd.ldap],
                "base": slapd.people,
                "bind_dn": slapd.service_dn,
                "bind_password_file": slapd.password_file,
                "mirror": True,
                "attributes": {"user": "uid", "shard": "vestibuleShard", "preferred": "vestibulePreferredReplica"},
            },
            "backend_login": {"mode": "password", "tls": "off"},
            "auth": {"failure_delay": 0.0},
            "timeouts": {"drain": 0.5, "retry_pause": 0.05, "backend_connect": 3.0, "backend_greeting": 3.0},
            "shard": [shard("s1", *self.servers)],
            "director": {**DIRECTOR, "store": self._store},
        }
