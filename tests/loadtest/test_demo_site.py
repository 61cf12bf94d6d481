"""The site that the demo shows."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

from loadtest.demo_site import ADDRESS, BACKENDS, LDIF, LISTENERS, User, free_port, open_site, read_users


def test_the_users_are_read_from_the_file_that_is_shipped() -> None:
    users = list(read_users(LDIF.read_text()))
    assert users[0] == User("alice", "alice's password", "north")
    assert {user.shard for user in users} == set(BACKENDS)


def test_a_port_that_is_taken_is_replaced() -> None:
    with socket.create_server((ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port(port) not in (0, port)
    assert free_port(port) == port


async def test_the_configuration_names_what_runs(tmp_path: Path) -> None:
    async with open_site(tmp_path, workers=3) as site:
        configuration = tomllib.loads(site.config.read_text())
        backends = {backend.name: backend for backend in site.backends}
        for shard in configuration["shard"]:
            for table in shard["backend"]:
                running = backends.pop(table["name"])
                assert (table["host"], table["ports"]) == (running.address, running.ports)
        assert backends == {}
        addresses = [listener["address"] for listener in configuration["listener"]]
        assert addresses == [f"{ADDRESS}:{site.ports[name]}" for name in LISTENERS]
        assert configuration["node"]["workers"] == 3
        assert Path(configuration["certificate"][0]["chain"]).exists()
        assert configuration["directory"]["file"] == str(LDIF)
