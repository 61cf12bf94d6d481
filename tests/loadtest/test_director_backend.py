"""A backend in a process of its own that fails in the ways of real ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from loadtest.director_backend import BackendProcess


@pytest.fixture
def backend() -> Iterator[BackendProcess]:
    with BackendProcess("mb1a", backlog=4) as running:
        yield running


def connected(backend: BackendProcess) -> socket.socket:
    sock = socket.create_connection((backend.host, backend.port), timeout=30)
    assert sock.recv(4096).startswith(b"* OK")
    return sock


def answer(sock: socket.socket, command: bytes) -> bytes:
    sock.sendall(command + b"\r\n")
    return sock.recv(4096)


def test_it_lets_everybody_in_tells_its_name_and_waits_in_idle(backend: BackendProcess) -> None:
    with connected(backend) as client:
        assert answer(client, b'a LOGIN "alice" "secret"') == b"a OK done\r\n"
        assert answer(client, b"b ID NIL") == b'* ID ("name" "mb1a")\r\nb OK done\r\n'
        assert answer(client, b"c IDLE") == b"+ idling\r\n"


def test_when_it_is_killed_its_sessions_end_and_connections_are_refused_until_it_is_back(
    backend: BackendProcess,
) -> None:
    with connected(backend) as client:
        backend.kill()
        with pytest.raises(ConnectionRefusedError):
            connected(backend)
        assert client.recv(1) == b""
    backend.begin()
    backend.wait()
    connected(backend).close()


def test_a_frozen_one_accepts_and_is_silent_until_it_goes_on(backend: BackendProcess) -> None:
    backend.freeze()
    with socket.create_connection((backend.host, backend.port), timeout=0.1) as client:
        with pytest.raises(TimeoutError):
            client.recv(1)
        backend.thaw()
        client.settimeout(30)
        assert client.recv(4096).startswith(b"* OK")


def test_a_clogged_one_does_not_even_accept(backend: BackendProcess) -> None:
    backend.clog()
    with socket.socket() as client:
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.connect((backend.host, backend.port))
    backend.thaw()
    connected(backend).close()


def test_nothing_is_left_of_it(backend: BackendProcess) -> None:
    pid = backend.pid
    backend.freeze()
    backend.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
