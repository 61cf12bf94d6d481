"""The networks that tests cut: everything gets through until it is cut, then nothing does, and nobody is told."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from .addresses import unused_address
from .network import Network
from .wait import wait_until

ANSWERING = """
import socket, sys
with socket.create_server((sys.argv[1], 7)) as listening:
    print("listening", flush=True)
    while True:
        connection, _ = listening.accept()
        connection.sendall(b"hello")
"""

CALLING = """
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.3).recv(5).decode())
except OSError as error:
    print(type(error).__name__)
"""

TALKING = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
connection.sendall(sys.stdin.readline().encode())
connection.settimeout(0.3)
try:
    print("heard", connection.recv(5).decode(), flush=True)
except TimeoutError:
    print("said, and nothing heard", flush=True)
sys.stdin.readline()
connection.settimeout(10)
print("heard", connection.recv(5).decode(), end="", flush=True)
"""

IMPATIENCE = 0.3
"""Seconds after which silence is silence."""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("one", "two") as built:
        yield built


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server of ours, where all have theirs."""
    with socket.create_server((unused_address(), 0)) as listening:
        listening.settimeout(10.0)
        yield listening


def call(network: Network, node: str, address: str, port: int) -> str:
    """What somebody at the node hears there: "hello", or why nothing."""
    return network.run(node, sys.executable, "-c", CALLING, address, str(port)).strip()


@contextmanager
def running(network: Network, node: str, program: str, *arguments: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """A Python program at the node: its input and its output."""
    command = [*network.prefix(node), sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.kill()


@contextmanager
def answering(network: Network, node: str) -> Iterator[None]:
    """A server at the node."""
    with running(network, node, ANSWERING, network.address(node)) as (_, output):
        assert output.readline() == "listening\n"
        yield


def reaches(address: str) -> bool:
    try:
        with socket.create_connection((address, 7), IMPATIENCE) as connection:
            return connection.recv(5) == b"hello"
    except OSError:
        return False


def test_a_cut_is_silent_in_both_directions_until_it_is_healed(network: Network, server: socket.socket) -> None:
    address, port = server.getsockname()
    with running(network, "one", TALKING, address, str(port)) as (program, heard):
        connection, _ = server.accept()
        network.cut("one", address)
        connection.sendall(b"word\n")
        print("word", file=program, flush=True)
        assert heard.readline() == "said, and nothing heard\n"
        connection.settimeout(IMPATIENCE)
        with pytest.raises(TimeoutError):
            connection.recv(5)
        assert call(network, "one", address, port) == "TimeoutError"
        network.heal("one", address)
        connection.settimeout(10.0)
        assert connection.recv(5) == b"word\n"
        print("go on", file=program, flush=True)
        assert heard.readline() == "heard word\n"
        connection.close()


def test_what_is_cut_is_cut_for_that_node_and_that_address_only(network: Network) -> None:
    with answering(network, "two"), answering(network, "one"):
        network.cut("one", "two")
        assert call(network, "one", network.address("two"), 7) == "TimeoutError"
        assert call(network, "two", network.address("one"), 7) == "TimeoutError"
        wait_until(lambda: reaches(network.address("one")) and reaches(network.address("two")))
        network.heal("one", "two")
        wait_until(lambda: call(network, "one", network.address("two"), 7) == "hello")


def test_an_isolated_node_reaches_nobody_and_is_reached_by_nobody(network: Network, server: socket.socket) -> None:
    with answering(network, "one"):
        network.isolate("one")
        assert not reaches(network.address("one"))
        assert call(network, "one", *server.getsockname()) in ("TimeoutError", "OSError")
        network.join("one")
        wait_until(lambda: reaches(network.address("one")))


def test_nothing_is_left_behind_not_even_by_a_run_that_was_killed() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    if os.geteuid() == 0:
        for command in (f"netns add vn{ended.pid}-0-one", f"link add vb{ended.pid}-0 type bridge"):
            subprocess.run(["ip", *command.split()], check=True)
    with Network("one") as network:
        names = _names()
        assert f"vn{ended.pid}-0-one" not in names
        assert f"vb{ended.pid}-0" not in names
        assert network.prefix("one")[-1] in names
    assert not re.search(rf"\bv[bne]{os.getpid()}-", _names())


def _names() -> str:
    return "".join(
        subprocess.run(["ip", *command], check=True, capture_output=True, text=True).stdout
        for command in (["netns", "list"], ["-o", "link", "show"])
    )
