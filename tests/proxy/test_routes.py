"""Routes and shards as they change: a real mirror's files and socket, written to without a directory server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from director import Shards
from ldapmap import Attributes, DirectorySettings, DomainSettings
from ldapmap.mirror.contents import Shards as ShardContents
from ldapmap.mirror.contents import Users
from ldapmap.mirror.control import Control
from ldapmap.mirror.copies import Copies
from ldapmap.sections import ShardEntrySettings
from proxy import routes as routes_module
from proxy.routes import RouteMirror, follow_routes, known_shards, look_at_shards
from proxy.settings import Settings
from tests.proxy.example import good_settings

PEOPLE = "ou=people,dc=example"
ONE, TWO = "ou=one,dc=example", "ou=two,dc=example"
DOMAINS = (
    DomainSettings(names=("one.example",), base=ONE),
    DomainSettings(names=("two.example", "zwei.example"), base=TWO, local_part=True),
)


def with_mirror(path: Path, *, shards: str = "ou=shards", domain: tuple[DomainSettings, ...] = ()) -> Settings:
    """A site whose shard s1 is in the file, with its mirror in `path`."""
    settings = good_settings()
    directory = DirectorySettings(
        kind="ldap",
        servers=("ldap://192.0.2.1",),
        base=PEOPLE,
        mirror=True,
        attributes=Attributes(user="uid", aliases=("mail",), shard="mailHost", preferred="replica"),
        shards=ShardEntrySettings(base=shards),
        domain=domain,
        follow=dataclasses.replace(settings.directory.follow, path=path),
    )
    return dataclasses.replace(settings, directory=directory)


class Kept:
    """The mirror's process without its directory server."""

    def __init__(self, settings: Settings, path: Path) -> None:
        directory = settings.directory
        self.copies = Copies(directory, path, forget=_nobody, forget_all=lambda: None)
        self._users = [Users(directory, number, forget=_nobody) for number in range(3)]
        self._shards = ShardContents(directory.shards)

    def load(self) -> None:
        """Take an empty copy into use."""
        self.copies.accept(self.copies.load())

    def put(self, user: str, shard: str, preferred: str = "", *, base: int = 0, mail: str = "") -> None:
        assert self.copies.writer is not None
        given = {b"uid": user, b"mailHost".lower(): shard, b"replica": preferred, b"mail": mail}
        values = {name: [value.encode()] for name, value in given.items() if value}
        with self.copies.writer.transaction() as change:
            self._users[base].put(change, _id_of(f"{base} {user}"), f"uid={user}".encode(), values)
        self.copies.applied()

    def put_shard(self, name: str, *backends: str) -> None:
        """An entry with these backends; without any it is gone."""
        assert self.copies.writer is not None
        with self.copies.writer.transaction() as change:
            if backends:
                values = {b"cn": [name.encode()], b"vestibulebackend": [backend.encode() for backend in backends]}
                self._shards.put(change, _id_of(name), b"cn=shard", values)
            else:
                self._shards.delete(change, _id_of(name))
        self.copies.applied()


def _id_of(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def _nobody(_user: str) -> None:
    """Nobody's password is remembered."""


class Told:
    """What a watcher is told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def route_changed(self, user: str, shard: str, preferred: str) -> None:
        self.events.append((user, shard, preferred))

    def shards_changed(self, shards: Shards) -> None:
        self.events.append(("shards", *(backend for shard in shards.all for backend in sorted(shard.names))))

    def routes_lost(self) -> None:
        self.events.append(("lost",))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    async def hears(self, *events: tuple[str, ...]) -> None:
        """Wait for exactly these, and forget them."""
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: len(self.events) >= len(events))
        assert self.events == list(events)
        self.events.clear()


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vest-routes-"))
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def opened(settings: Settings, path: Path) -> Iterator[Kept]:
    """The mirror's files, open for writing."""
    kept = Kept(settings, path)
    kept.copies.open()
    try:
        yield kept
    finally:
        kept.copies.close()


@contextlib.asynccontextmanager
async def keeping(settings: Settings, path: Path) -> AsyncIterator[Kept]:
    """The mirror's process, with an empty copy if there is none."""
    with opened(settings, path) as kept:
        if kept.copies.writer is None:
            kept.load()
        async with Control(path, kept.copies):
            yield kept


@contextlib.asynccontextmanager
async def following(settings: Settings, mirror: RouteMirror | None = None) -> AsyncIterator[Told]:
    """Somebody who is told."""
    told = Told()
    task = asyncio.get_running_loop().create_task(follow_routes(settings, told, mirror))
    try:
        yield told
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- following ---


async def test_without_a_mirror_there_is_nothing_to_follow() -> None:
    settings, told = good_settings(), Told()
    await follow_routes(settings, told)
    assert told.events == []
    mirror = RouteMirror(settings)
    mirror.look()
    assert mirror.lookup("alice") is None
    mirror.close()
    assert known_shards(settings).find("mb1a") is not None
    assert look_at_shards(settings).entries is None


async def test_every_change_of_a_route_is_told(path: Path) -> None:
    settings = with_mirror(path, shards="")
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("lost",))
        kept.put("alice", "s1")
        await told.hears(("alice", "s1", ""))
        kept.put("alice", "s1", "mb1b")
        await told.hears(("alice", "s1", "mb1b"))
        kept.put("alice", "")
        await told.hears(("alice", "", ""))


async def test_the_shards_are_told_first_and_when_an_entry_changes_them(path: Path) -> None:
    settings = with_mirror(path)
    async with keeping(settings, path) as kept:
        kept.put_shard("s2", "mb2")
        async with following(settings) as told:
            await told.hears(("shards", "mb1a", "mb2"), ("lost",))
            kept.put_shard("s2", "mb2", "mb3")
            kept.put_shard("s3", "mb4")
            await told.hears(("shards", "mb1a", "mb2", "mb3", "mb4"))
            kept.put_shard("s2")
            await told.hears(("shards", "mb1a", "mb4"))


async def test_a_route_into_a_new_shard_is_told_after_the_shard(path: Path) -> None:
    settings = with_mirror(path)
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        kept.put_shard("s2", "mb2")
        kept.put("alice", "s2", "mb2")
        await told.hears(("shards", "mb1a", "mb2"), ("alice", "s2", "mb2"))


async def test_a_route_that_comes_before_its_shard_is_told_again_when_the_shard_is_there(path: Path) -> None:
    settings = with_mirror(path)
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        kept.put("alice", "s2")
        kept.put("bob", "s1", "mb2")
        kept.put("carol", "s1", "mb1a")
        kept.put("dave", "s9")
        kept.put("eve", "s9")
        kept.put("eve", "s1")
        await told.until(lambda: len(told.events) == 6)
        told.events.clear()
        kept.put_shard("s2", "mb2")
        await told.hears(("shards", "mb1a", "mb2"), ("alice", "s2", ""))
        kept.put_shard("s9", "mb9")
        await told.hears(("shards", "mb1a", "mb2", "mb9"), ("dave", "s9", ""))


async def test_when_more_routes_wait_for_shards_than_are_remembered_all_are_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_module, "_MOST_WAITING", 2)
    settings = with_mirror(path)
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        for user in ("alice", "bob", "carol"):
            kept.put(user, "s2")
        await told.until(lambda: len(told.events) == 3)
        told.events.clear()
        kept.put_shard("s2", "mb2")
        await told.hears(("shards", "mb1a", "mb2"), ("lost",))
        kept.put_shard("s2", "mb3")
        await told.hears(("shards", "mb1a", "mb3"))


async def test_a_bad_entry_is_told_to_the_operator_once_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_mirror(path)
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        kept.put_shard("s2", "mb2")
        await told.hears(("shards", "mb1a", "mb2"))
        kept.put_shard("s2", "mb2 host=?")
        await told.until(lambda: bool(caplog.records))
        kept.put_shard("s3", "mb3")
        await told.hears(("shards", "mb1a", "mb2", "mb3"))
    assert [record.message for record in caplog.records] == [
        "the directory's entry of shard 's2' is not used as it is: 'mb2': host: '?' is neither a host name nor an "
        "address; give it without port and brackets"
    ]


async def test_what_happened_while_the_mirrors_process_was_away_is_told_when_it_is_back(path: Path) -> None:
    settings = with_mirror(path)
    async with following(settings) as told:
        async with keeping(settings, path) as kept:
            await told.hears(("shards", "mb1a"), ("lost",))
            kept.put("alice", "s1")
            await told.hears(("alice", "s1", ""))
        with opened(settings, path) as kept:
            kept.put("bob", "s1")
        async with keeping(settings, path) as kept:
            await told.hears(("bob", "s1", ""))
            kept.put("carol", "s1")
            await told.hears(("carol", "s1", ""))


async def test_after_a_load_routes_are_lost_and_looked_up_in_the_new_copy(path: Path) -> None:
    settings = with_mirror(path)
    mirror = RouteMirror(settings)
    async with keeping(settings, path) as kept, following(settings, mirror) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        kept.put("alice", "s1")
        await told.hears(("alice", "s1", ""))
        assert mirror.lookup("alice") == ("s1", "")
        kept.load()
        await told.hears(("lost",))
        assert mirror.lookup("alice") is None
    mirror.close()


async def test_a_mirror_that_cannot_be_read_takes_no_shard_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "_LONGEST_PAUSE", 0.1)
    settings = with_mirror(path)
    async with keeping(settings, path) as kept, following(settings) as told:
        await told.hears(("shards", "mb1a"), ("lost",))
        kept.put_shard("s2", "mb2")
        await told.hears(("shards", "mb1a", "mb2"))
        current = path / "current"
        current.rename(path / "hidden")
        kept.put_shard("s3", "mb3")
        kept.put("alice", "s1")
        await told.hears(("alice", "s1", ""))
        (path / "hidden").rename(current)
        await told.hears(("shards", "mb1a", "mb2", "mb3"))


async def test_a_mirror_that_stays_away_is_told_to_the_operator(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes_module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(routes_module, "_LONGEST_PAUSE", 0.002)
    caplog.set_level(logging.WARNING)
    settings = with_mirror(path, shards="")
    async with following(settings) as told:
        await told.until(lambda: bool(caplog.records))
        async with keeping(settings, path):
            await told.hears(("lost",))
    assert "until the mirror is back" in caplog.records[0].message


# --- looking up ---


def test_a_user_is_looked_up_by_the_name_that_sessions_have(path: Path) -> None:
    settings = with_mirror(path, domain=DOMAINS)
    with opened(settings, path) as kept:
        kept.load()
        kept.put("alice", "s1", "mb1b")
        kept.put("bob", "s2", base=1, mail="bob@one.example")
        kept.put("carol", "s3", base=2)
        kept.put("dave", "s4", mail="erin")
        kept.put("alice", "s5", base=1)
        mirror = RouteMirror(settings)
        assert mirror.lookup("alice") == ("s1", "mb1b")
        assert mirror.lookup("bob") == ("s2", "")
        assert mirror.lookup("carol@two.example") == ("s3", "")
        assert [mirror.lookup(name) for name in ("carol", "carol@zwei.example", "erin", "nobody", "")] == [None] * 5
        mirror.close()


# --- shards for commands ---


def test_commands_know_the_shards_of_the_mirror(path: Path) -> None:
    settings = with_mirror(path)
    assert look_at_shards(settings).entries is None
    with opened(settings, path) as kept:
        kept.load()
        kept.put_shard("s2", "mb2")
        kept.put_shard("s1", "mb1")
    known = look_at_shards(settings)
    assert known.entries == 2
    assert [fault.shard for fault in known.faults] == ["s1"]
    assert [shard.name for shard in known_shards(settings).all] == ["s1", "s2"]
    other = dataclasses.replace(settings, directory=dataclasses.replace(settings.directory, base="o=other"))
    assert [shard.name for shard in known_shards(other).all] == ["s1"]
