"""What one process of clients does, against the backend itself and against a server that refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from loadtest.compare.client import Client, Outcome, Place
from loadtest.compare.surroundings import ADDRESS, Surroundings


@pytest.fixture
def client(around: Surroundings) -> Client:
    return Client(around.certificate.chain)


@pytest.fixture
def backend(around: Surroundings) -> Place:
    return Place(around.imap, tls=False)


@pytest.fixture
def refusing() -> Iterator[Place]:
    """Says NO to the first client, and closes upon the second."""
    with socket.create_server((ADDRESS, 0)) as server:

        def serve() -> None:
            for answer in (b"a NO not you\r\n", b""):
                taken, _ = server.accept()
                with taken:
                    taken.sendall(b"* OK\r\n")
                    taken.recv(1000)
                    taken.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Place(server.getsockname()[1], tls=False)
        thread.join(20.0)


def test_visitors_log_in_and_out(client: Client, backend: Place) -> None:
    outcome = client.visit(backend, 5, 2)
    assert (len(outcome.seconds), outcome.refused) == (5, 0)
    assert all(seconds > 0 for seconds in outcome.seconds)


def test_who_is_idle_can_move_data_both_ways_and_is_idle_again(client: Client, backend: Place) -> None:
    client.open(backend, 3, 3, idle=True)
    assert len(client.move(100_000).seconds) == 3
    assert len(client.move(1).seconds) == 3
    client.close()


@pytest.mark.parametrize("chunk", [1400, 65536])
def test_bulk_goes_both_ways(client: Client, backend: Place, chunk: int) -> None:
    client.open(backend, 2, 2)
    assert len(client.receive(200_001).seconds) == 2
    assert len(client.send(200_001, chunk).seconds) == 2
    assert len(client.noop(2).seconds) == 4
    client.close()


def test_who_is_refused_is_counted_with_the_reason(client: Client, refusing: Place) -> None:
    outcome = client.open(refusing, 2, 1)
    assert (outcome.seconds, outcome.refused) == ([], 2)
    assert "not you" in outcome.reasons[0]
    assert len(outcome.reasons) == 2


def test_nobody_who_speaks_no_tls_is_believed(client: Client, around: Surroundings) -> None:
    outcome = client.visit(Place(around.imap), 1, 1)
    assert (outcome.seconds, outcome.refused) == ([], 1)


def test_outcomes_add_up() -> None:
    first, second = Outcome([1.0], 0, [], 5.0), Outcome([2.0], 1, ["no"], 4.0)
    first.add(second)
    assert first == Outcome([1.0, 2.0], 1, ["no"], 5.0)
