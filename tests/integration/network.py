"""Nodes that each have a network of their own, whose connections a test can cut: Linux network namespaces.

A node's namespace is joined to ours by a bridge. Servers stay where all tests have them, at loopback addresses of ours,
and are reached from there by the same addresses; clients of tests reach a node at its own address. What is cut is
silent in both directions, as behind a broken switch: nobody is told, nothing is refused, sockets stay open.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest

from .processes import program

_NUMBERS = itertools.count()

_OURS = re.compile(r"\bv[bens]([0-9]+)-[0-9][a-z0-9-]*")
"""Names of namespaces and links that a run of tests has made; the number is its process."""

_BRIDGE = """\
link add {bridge} type bridge
addr add {network}.1/24 dev {bridge}
link set {bridge} up
"""

_LINK = """\
link add {outside} type veth peer name eth0 netns {namespace}
link set {outside} master {bridge} up
"""

# The rule of local addresses makes room for rules before it. Nobody is at the void's address.
_INSIDE = """\
link set lo up
addr flush dev lo
addr add 127.0.0.1/32 dev lo
addr add {address}/24 dev eth0
link set eth0 up
route add 127.0.0.0/8 via {network}.1
rule add pref 1000 lookup local
rule del pref 0
neigh add {network}.254 lladdr 02:00:00:00:00:01 nud permanent dev eth0
"""


class _Node(NamedTuple):
    """A node's namespace, its end of the cable at the bridge, and its address."""

    namespace: str
    outside: str
    address: str


class Network:
    """Nodes in networks of their own. Needs root; without, the test is skipped.

    All is gone when the block ends, processes that still run at the nodes as well. What an earlier run of tests has
    left is removed at the beginning.
    """

    def __init__(self, *names: str) -> None:
        self._ip = program("ip", "iproute2")
        run = f"{os.getpid()}-{next(_NUMBERS)}"
        self._network = ""
        self._bridge = f"vb{run}"
        self._names = {name: (f"vn{run}-{name}", f"ve{run}-{i}") for i, name in enumerate(names)}
        self._nodes: dict[str, _Node] = {}

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        self._remove_leftovers()
        try:
            self._build()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()

    # --- what nodes are started with ---

    def address(self, node: str) -> str:
        """The node's address."""
        return self._nodes[node].address

    def prefix(self, node: str) -> list[str]:
        """What a command line begins with that is to run at the node."""
        return [self._ip, "netns", "exec", self._nodes[node].namespace]

    def run(self, node: str, *command: str) -> str:
        """Run a command at the node; what it prints."""
        return subprocess.run([*self.prefix(node), *command], check=True, capture_output=True, text=True).stdout

    # --- faults ---

    def cut(self, node: str, *others: str) -> None:
        """Let nothing pass any more between the node and others, each a node's name or an address."""
        for address in map(self._address_of, others):
            self._at(node, f"route add {address}/32 via {self._network}.254\nrule add pref 10 from {address} blackhole")

    def heal(self, node: str, *others: str) -> None:
        """Undo `cut`."""
        for address in map(self._address_of, others):
            self._at(node, f"route del {address}/32 via {self._network}.254\nrule del pref 10 from {address} blackhole")

    def isolate(self, node: str) -> None:
        """Let nothing pass any more between the node and anybody else, the test's clients included."""
        self._do(f"link set {self._nodes[node].outside} nomaster")

    def join(self, node: str) -> None:
        """Undo `isolate`."""
        self._do(f"link set {self._nodes[node].outside} master {self._bridge}")

    # --- details ---

    def _address_of(self, other: str) -> str:
        return self._nodes[other].address if other in self._nodes else other

    def _build(self) -> None:
        self._network = self._unused_network()
        self._do(_BRIDGE.format(bridge=self._bridge, network=self._network))
        _permit(f"conf/{self._bridge}/route_localnet")
        for i, (name, (namespace, outside)) in enumerate(self._names.items()):
            self._do(f"netns add {namespace}")
            self._nodes[name] = _Node(namespace, outside, f"{self._network}.{i + 11}")
            self._do(_LINK.format(outside=outside, namespace=namespace, bridge=self._bridge))
            self._at(name, _INSIDE.format(address=self.address(name), network=self._network))
            # Early demultiplexing would let packets of connections past the rules.
            sysctl = "/proc/sys/net/ipv4"
            self.run(name, "sh", "-c", f"echo 1 > {sysctl}/conf/eth0/route_localnet; echo 0 > {sysctl}/ip_early_demux")

    def _clean(self) -> None:
        namespaces = {namespace for namespace, _ in self._names.values()} & self._namespaces()
        for namespace in namespaces:
            for pid in self._told("netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        self._remove(namespaces, {self._bridge, *(outside for _, outside in self._names.values())})
        self._nodes.clear()

    def _remove_leftovers(self) -> None:
        """Remove what runs have made that have ended."""
        links = self._told("-o", "link", "show")
        self._remove(_abandoned(self._told("netns", "list")), _abandoned(links))

    def _remove(self, namespaces: set[str], links: set[str]) -> None:
        for name in namespaces:
            self._told("netns", "del", name)
        for name in links:  # most cables have gone with their namespaces
            subprocess.run([self._ip, "link", "del", name], check=False, capture_output=True)

    def _namespaces(self) -> set[str]:
        return {line.split()[0] for line in self._told("netns", "list").splitlines()}

    def _unused_network(self) -> str:
        """The first three numbers of a network out of those for measurements (RFC 2544), which nobody has."""
        while True:
            network = f"198.{random.randint(18, 19)}.{random.randint(0, 255)}"
            if f"{network}." not in self._told("-4", "addr", "show"):
                return network

    def _at(self, node: str, commands: str) -> None:
        self._do(commands, "-n", self._nodes[node].namespace)

    def _do(self, commands: str, *options: str) -> None:
        done = subprocess.run(
            [self._ip, *options, "-batch", "-"], input=commands, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{commands}: {done.stderr}"

    def _told(self, *arguments: str) -> str:
        return subprocess.run([self._ip, *arguments], check=True, capture_output=True, text=True).stdout


def _abandoned(names: str) -> set[str]:
    """Those of the names that belong to a run of tests that has ended."""
    return {found[0] for found in _OURS.finditer(names) if not Path(f"/proc/{found[1]}").exists()}


def _permit(setting: str) -> None:
    (Path("/proc/sys/net/ipv4") / setting).write_text("1")
