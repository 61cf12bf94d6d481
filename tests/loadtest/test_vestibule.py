"""The daemon started by a plan: before a backend and a directory, and when it cannot start."""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from loadtest.compare.surroundings import Surroundings, surroundings
from loadtest.vestibule import Daemon, Plan, VestibuleFailed, counters, free_port, own_certificate, vestibule

ADDRESS = "127.0.0.1"


@pytest.fixture(scope="module")
def around() -> Iterator[Surroundings]:
    with surroundings() as found:
        yield found


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vest-") as name:
        yield Path(name)


def plan(around: Surroundings, extra: str = "") -> Plan:
    return Plan(
        listeners={"imap": (ADDRESS, 0), "pop3": (ADDRESS, 0)},
        shards=[("s1", [("mb1", ADDRESS, {"imap": around.imap, "pop3": around.imap}, 1)])],
        directory=f"ldap://{ADDRESS}:{around.ldap}",
        extra=extra,
    )


def logged_in(daemon: Daemon) -> bytes:
    with (
        socket.create_connection((daemon.address, daemon.ports["imap"]), 20.0) as sock,
        daemon.context.wrap_socket(sock, server_hostname="localhost") as client,
        client.makefile("rwb") as stream,
    ):
        stream.readline()
        stream.write(b"a LOGIN user0000001 secret\r\nz LOGOUT\r\n")
        stream.flush()
        return stream.readline()


def test_users_log_in_and_the_counters_say_so(around: Surroundings, folder: Path) -> None:
    with vestibule(folder, plan(around, extra="[timeouts]\ndrain = 1.5")) as daemon:
        assert logged_in(daemon).startswith(b"a OK")
        assert set(daemon.ports) == {"imap", "pop3"}
        assert any("login" in name and value for name, value in counters(daemon).items())
        assert "vestibule: ready" in daemon.log.read_text()
        assert tomllib.loads(daemon.configuration.read_text())["timeouts"] == {"drain": 1.5}
    with pytest.raises(ProcessLookupError):
        os.kill(daemon.pid, 0)


def test_a_certificate_can_be_given(around: Surroundings, folder: Path) -> None:
    with vestibule(folder, plan(around), around.certificate) as daemon:
        assert logged_in(daemon).startswith(b"a OK")
    assert not (folder / "server.pem").exists()


def test_a_daemon_that_does_not_start_is_quoted(around: Surroundings, folder: Path) -> None:
    broken = plan(around, extra="[timeouts]\ndrain = -1")
    with pytest.raises(VestibuleFailed, match=r"ended with 2: .*timeouts\.drain"), vestibule(folder, broken):
        pytest.fail("it started")


def test_its_own_certificate_is_for_localhost_and_the_addresses(folder: Path) -> None:
    files = own_certificate(folder, ["127.0.0.9"])
    assert files.chain.read_text().count("BEGIN CERTIFICATE") == 2


def test_a_free_port_is_none_of_those_for_outgoing_connections() -> None:
    assert 12_000 <= free_port(ADDRESS) < 32_000
    with pytest.raises(OSError, match=r"no port of 192\.0\.2\.1 is free"):
        free_port("192.0.2.1")
