"""A product started for real: what it answers, and one tiny measure of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from loadtest.compare.client import Place
from loadtest.compare.clients import Clients
from loadtest.compare.parts import PARTS, Bench, Scale
from loadtest.compare.product import NotHere, Product, Running
from loadtest.compare.surroundings import ADDRESS, Surroundings
from loadtest.vestibule import free_port

TINY = Scale(rounds=1, logins=4, idle=(2, 4), noops=50, gibibytes=0.001, small=0.0005, storm=8, settle=0.0)


@contextmanager
def trial(product: Product, around: Surroundings) -> Iterator[Running]:
    """The product, running; the test is skipped with the reason when it is not installed."""
    folder = Path(mkdtemp(dir=around.folder))
    folder.chmod(0o755)
    running = product.start(around, folder, free_port(ADDRESS))
    try:
        running_now = running.__enter__()
    except NotHere as reason:
        pytest.skip(str(reason))
    try:
        yield running_now
    finally:
        running.__exit__(None, None, None)


def bench(product: Product, running: Running, around: Surroundings, fleet: Clients, scale: Scale = TINY) -> Bench:
    """Everything a part needs."""
    return Bench(product, running, fleet, Place(around.imap, tls=False), scale)


def login_cost(product: Product, running: Running, around: Surroundings, fleet: Clients) -> float:
    """Microseconds of processor time, from very few logins."""
    return PARTS["login"].take(bench(product, running, around, fleet))[0]


def login_answer(around: Surroundings, running: Running, password: str) -> bytes:
    """The line that answers LOGIN; what comes without TLS 1.3 is no answer."""
    context = ssl.create_default_context(cafile=str(around.certificate.chain))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with (
        socket.create_connection((ADDRESS, running.port), 20.0) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as client,
        client.makefile("rwb") as stream,
    ):
        assert stream.readline().startswith(b"* OK")
        stream.write(f"a LOGIN user0000001 {password}\r\n".encode())
        stream.flush()
        return next(line for line in stream if line.startswith(b"a "))
