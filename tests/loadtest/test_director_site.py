"""The daemon in front of simulated backends, and what it says of itself."""

from __future__ import annotations

import subprocess

import pytest

from loadtest.director_backend import BackendProcess
from loadtest.director_client import log_in
from loadtest.director_site import daemon, directory, follow, ldif_users, shard_table
from loadtest.people import PASSWORD, uid
from loadtest.slapd import missing


def test_shards_and_users_are_written_as_an_operator_would() -> None:
    backend = BackendProcess("mb1a")
    assert shard_table("s1", [backend]).count(f'host = "{backend.host}"') == 1
    assert ldif_users({"alice": "s1"}, "secret").count("mailHost: s1") == 1


@pytest.mark.skipif(missing() != "", reason=missing())
async def test_a_daemon_follows_the_directory_takes_orders_and_tells_what_it_has_used() -> None:
    with (
        BackendProcess("mb1a") as first,
        BackendProcess("mb1b") as second,
        directory(3, {"s1": [first, second]}) as server,
        daemon(follow(server)) as site,
    ):
        site.wait_for((first, second))
        session = await log_in(site.front, uid(2), PASSWORD)
        assert session.where == "mb1a"
        assert site.ask(ask="status")[0]["sessions"] == 1
        site.order("standby", "mb1a")
        assert {row["backend"]: row["admin"] for row in site.ask(ask="backends")}["mb1a"] == "standby"
        with pytest.raises(subprocess.CalledProcessError):
            site.order("standby", "nobody")
        await session.log_out()
        assert min(site.cpu().values()) > 0
        pids = list(site.processes())
    assert len(pids) >= 4


def test_a_daemon_that_cannot_start_says_why() -> None:
    with pytest.raises(OSError, match="did not start"), daemon("[nonsense]\n"):
        pass
