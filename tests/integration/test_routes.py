"""A write to a real OpenLDAP reaches whoever watches routes and shards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from director import Shards
from proxy.routes import RouteMirror, follow_routes, known_shards
from proxy.settings import Settings
from tests.proxy.example import good_settings

from . import slapd as slapd_module
from .mirrors import Running, mirrored, settings_for
from .processes import short_folder
from .rerouting import ATTRIBUTES, SHARD_ENTRIES, RoutingDirectory, routing_directory

REASON = slapd_module.missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def path() -> Iterator[Path]:
    folder = short_folder("vest-routes")
    yield folder / "mirror"
    shutil.rmtree(folder)


@pytest.fixture
def directory() -> Iterator[RoutingDirectory]:
    with routing_directory() as directory:
        directory.add_shard("s1", "mb1a host=mb1a.example", "mb1b host=mb1b.example priority=2")
        directory.add_user("alice", "secret", "s1")
        yield directory


def site(directory: RoutingDirectory, path: Path) -> Settings:
    """A configuration that has all its shards from the directory."""
    followed = settings_for(directory.server, mirror=True, attributes=ATTRIBUTES, shards=SHARD_ENTRIES)
    follow = dataclasses.replace(followed.follow, path=path)
    return dataclasses.replace(good_settings(), shard=(), directory=dataclasses.replace(followed, follow=follow))


class Watching:
    """What was told last about every user, and about shards."""

    def __init__(self, running: Running, settings: Settings) -> None:
        self.running = running
        self.mirror = RouteMirror(settings)
        self.routes: dict[str, tuple[str, str]] = {}
        self.shards = Shards(())
        self.lost = 0

    def route_changed(self, user: str, shard: str, preferred: str) -> None:
        self.routes[user] = shard, preferred

    def shards_changed(self, shards: Shards) -> None:
        self.shards = shards

    def routes_lost(self) -> None:
        self.lost += 1

    async def hears(self, user: str, shard: str, preferred: str = "") -> None:
        await self.running.until(lambda: self.routes.get(user) == (shard, preferred), f"{user} in {shard}")

    async def knows(self, *backends: str) -> None:
        await self.running.until(lambda: self.backends() == set(backends), f"{backends}")

    def backends(self) -> set[str]:
        return {name for shard in self.shards.all for name in shard.names}


@contextlib.asynccontextmanager
async def watching(directory: RoutingDirectory, path: Path) -> AsyncIterator[Watching]:
    """A mirror that runs, and somebody who watches it and has been told of everything there is."""
    settings = site(directory, path)
    async with mirrored(settings.directory, path) as running:
        watcher = Watching(running, settings)
        task = asyncio.get_running_loop().create_task(follow_routes(settings, watcher, watcher.mirror))
        try:
            await running.follows()
            await running.until(lambda: watcher.lost)
            yield watcher
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            watcher.mirror.close()


async def test_a_users_new_route_arrives(directory: RoutingDirectory, path: Path) -> None:
    async with watching(directory, path) as watcher:
        assert watcher.mirror.lookup("alice") == ("s1", "")
        directory.move("alice", preferred="mb1b")
        await watcher.hears("alice", "s1", "mb1b")
        directory.add_shard("s2", "mb2 host=mb2.example")
        directory.move("alice", shard="s2", preferred="")
        await watcher.hears("alice", "s2")
        assert watcher.mirror.lookup("alice") == ("s2", "")
        directory.move("alice", shard="")
        await watcher.hears("alice", "")
        directory.add_user("bob", "secret", "s1")
        await watcher.hears("bob", "s1")
        directory.delete_user("bob")
        await watcher.hears("bob", "")


async def test_shards_follow_their_entries(directory: RoutingDirectory, path: Path) -> None:
    async with watching(directory, path) as watcher:
        await watcher.knows("mb1a", "mb1b")
        directory.change_shard("s1", "mb1a host=mb1a.example site=north", "mb1c host=mb1c.example imap=1143")
        await watcher.knows("mb1a", "mb1c")
        shard = watcher.shards.find("s1")
        assert shard is not None
        north, other = (shard.find(name) for name in ("mb1a", "mb1c"))
        assert north is not None
        assert north.site == "north"
        assert other is not None
        assert other.ports == {"imap": 1143}
        directory.add_shard("s2", "mb2 host=mb2.example")
        await watcher.knows("mb1a", "mb1c", "mb2")
        settings = site(directory, path)
        assert known_shards(settings).find("mb2.example") is not None
        directory.delete_shard("s2")
        await watcher.knows("mb1a", "mb1c")


async def test_an_entry_with_a_bad_host_leaves_all_shards_as_they_are(directory: RoutingDirectory, path: Path) -> None:
    async with watching(directory, path) as watcher:
        await watcher.knows("mb1a", "mb1b")
        directory.change_shard("s1", "mb1a host=[mb1a.example]:143")
        directory.add_shard("s2", "mb2")
        await watcher.knows("mb1a", "mb1b", "mb2")


async def test_after_a_rebuild_users_are_looked_up_again(directory: RoutingDirectory, path: Path) -> None:
    async with watching(directory, path) as watcher:
        before = watcher.lost
        watcher.running.mirror.rebuild()
        await watcher.running.until(lambda: watcher.lost > before, "the new copy")
        assert watcher.mirror.lookup("alice") == ("s1", "")
        assert watcher.backends() == {"mb1a", "mb1b"}
