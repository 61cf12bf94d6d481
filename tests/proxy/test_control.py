"""The line between the supervisor and a worker: an order arrives whole, and its end is noticed."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy import control
from tests.proxy.front import Certificates
from tls import CertificatePair, read_pair

Line = tuple[socket.socket, socket.socket]


@pytest.fixture
def line() -> Iterator[Line]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def pair(tmp_path: Path) -> CertificatePair:
    return read_pair(Certificates(tmp_path).files)


async def worker_end(theirs: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The worker's end of the line; it closes when both are let go."""
    return await asyncio.open_connection(sock=theirs)


async def test_certificates_and_keys_arrive_as_they_were_sent(line: Line, pair: CertificatePair) -> None:
    ours, theirs = line
    reader, _writer = await worker_end(theirs)
    control.send(ours, control.Reload((pair, pair)))
    control.send(ours, control.Reload(()))
    assert await control.receive(reader) == control.Reload((pair, pair))
    assert await control.receive(reader) == control.Reload(())


async def test_the_end_of_the_supervisor_is_the_end_of_the_orders(line: Line) -> None:
    ours, theirs = line
    reader, _writer = await worker_end(theirs)
    ours.close()
    assert await control.receive(reader) is None


async def test_an_order_that_was_cut_off_is_none(line: Line, pair: CertificatePair) -> None:
    ours, theirs = line
    reader, _writer = await worker_end(theirs)
    message = pickle.dumps(control.Reload((pair,)))
    ours.sendall(struct.pack("!I", len(message)) + message[:-1])
    ours.close()
    assert await control.receive(reader) is None


def test_an_order_to_a_worker_that_is_gone_is_an_oserror(line: Line) -> None:
    ours, theirs = line
    theirs.close()
    with pytest.raises(OSError, match="pipe"):
        control.send(ours, control.Reload(()))


def test_an_order_does_not_print_a_key(pair: CertificatePair) -> None:
    assert "PRIVATE" not in repr(control.Reload((pair,)))
