"""A mirror of several servers that replicate: it goes on with whichever is left, from the same cookie."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from . import slapd as slapd_module
from .mirrors import Running, mirrored, settings_for
from .processes import short_folder
from .slapd import Slapd
from .slapd_topologies import in_step, provider_and_replica, three_way
from .wait import wait_until

REASON = slapd_module.missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

USERS = 20


@pytest.fixture
def path() -> Iterator[Path]:
    folder = short_folder("vest-mirror")
    yield folder / "mirror"
    shutil.rmtree(folder)


def populate(*servers: Slapd) -> None:
    """Users in the first, and thereby in all of them."""
    for number in range(USERS):
        servers[0].add_user(f"user{number}", "secret", mailHost="s1")
    wait_until(lambda: in_step(servers), "replication")


async def change_is_seen(running: Running, server: Slapd, user: str, shard: str) -> None:
    server.replace(f"uid={user},{slapd_module.PEOPLE}", mailHost=shard)
    await running.until(lambda: running.shard(user) == shard, f"a change made on {server.ldap}")


async def test_the_replica_is_followed_when_the_provider_dies_and_nothing_is_sent_again(path: Path) -> None:
    with provider_and_replica() as (provider, replica):
        populate(provider, replica)
        async with mirrored(settings_for(provider, replica), path) as running:
            await running.follows(provider)
            provider.kill()
            await running.follows(replica)
            assert running.mirror.status().received == USERS
            provider.start()
            await change_is_seen(running, provider, "user1", "s2")
            status = running.mirror.status()
            assert (status.received, status.reloads, status.reconnects) == (USERS + 1, 1, 1)
            assert status.server == replica.ldap


async def test_a_provider_that_hangs_is_left_for_the_replica(path: Path) -> None:
    with provider_and_replica() as (provider, replica):
        populate(provider, replica)
        async with mirrored(settings_for(provider, replica), path) as running:
            await running.follows(provider)
            provider.pause()
            await running.follows(replica)
            provider.resume()
            assert running.mirror.status().received == USERS


async def test_a_provider_that_has_gone_back_is_passed_over_for_the_replica_without_a_load(path: Path) -> None:
    with provider_and_replica(checkpoint="1000 10") as (provider, replica):
        populate(provider, replica)
        settings = settings_for(provider, replica)
        async with mirrored(settings, path) as running:
            await running.follows(provider)
            provider.delete(f"uid=user7,{slapd_module.PEOPLE}")
            await running.until(lambda: not running.shard("user7"))
        wait_until(lambda: in_step((provider, replica)), "replication")
        provider.kill()
        provider.start()
        async with mirrored(settings, path) as running:
            await running.follows(replica)
            assert running.mirror.status().reloads == 0
            assert running.mirror.status().received == 0


async def test_a_lock_by_the_password_policy_changes_no_route(path: Path) -> None:
    with provider_and_replica() as (provider, replica):
        populate(provider, replica)
        async with mirrored(settings_for(replica), path) as running:
            await running.follows()
            provider.replace(f"uid=user1,{slapd_module.PEOPLE}", pwdAccountLockedTime="000001010000Z")
            await running.until(lambda: running.mirror.status().received == USERS + 1)
            assert running.mirror.status().changes == 0
            assert running.shard("user1") == "s1"


@pytest.mark.parametrize("survivor", [0, 1, 2])
async def test_any_two_of_three_providers_may_die(path: Path, survivor: int) -> None:
    with three_way() as nodes:
        populate(*nodes)
        async with mirrored(settings_for(*nodes), path) as running:
            await running.follows(nodes[0])
            for number, node in enumerate(nodes):
                await change_is_seen(running, node, f"user{number}", f"s{number + 2}")
            wait_until(lambda: in_step(nodes), "replication")
            before = running.mirror.status().received
            for dead in others(nodes, survivor):
                dead.kill()
            await running.follows(nodes[survivor])
            assert running.mirror.status().received == before
            await change_is_seen(running, nodes[survivor], "user9", "s9")
            assert running.mirror.status().reloads == 1


async def test_all_providers_die_and_come_back(path: Path) -> None:
    with three_way() as nodes:
        populate(*nodes)
        async with mirrored(settings_for(*nodes, trust=1.0), path) as running:
            await running.follows(nodes[0])
            for number, node in enumerate(nodes):
                await change_is_seen(running, node, f"user{number}", "s2")
            wait_until(lambda: in_step(nodes), "replication")
            before = running.mirror.status().received
            for node in nodes:
                node.kill()
            await running.until(lambda: running.shard("user1") and not running.routes.fresh, "staleness")
            assert running.mirror.status().state == "disconnected"
            nodes[2].start()
            await running.follows(nodes[2])
            await running.until(lambda: running.shard("user1") and running.routes.fresh)
            status = running.mirror.status()
            assert (status.received, status.reloads) == (before, 1)
            await change_is_seen(running, nodes[2], "user5", "s5")


def others(nodes: Sequence[Slapd], survivor: int) -> list[Slapd]:
    return [node for number, node in enumerate(nodes) if number != survivor]
