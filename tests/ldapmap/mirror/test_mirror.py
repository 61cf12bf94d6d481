"""The mirror as a process runs it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ldapmap import DirectorySettings, Mirror, ask_mirror
from ldapmap.mirror.errors import Unusable
from ldapmap.mirror.mirror import urls_of
from ldapmap.sections import FollowSettings, ServerSettings
from tests.ldapmap.fake import FakeServer, fake_server
from tests.ldapmap.mirror.sync_server import BASE, SyncServer, whole


@pytest.fixture
def path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vest-mirror-"))
    yield folder / "mirror"
    shutil.rmtree(folder)


def settings(server: FakeServer | str, **changes: Any) -> DirectorySettings:
    url = server if isinstance(server, str) else server.url
    return DirectorySettings(kind="ldap", servers=(url,), base=BASE, **changes)


@contextlib.asynccontextmanager
async def run(mirror: Mirror) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(mirror.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Unusable):
            await task


async def until(task: asyncio.Task[None], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            if task.done():
                task.result()
            await asyncio.sleep(0)


async def test_a_mirror_follows_tells_and_rebuilds(path: Path) -> None:
    forgotten: list[str] = []
    async with fake_server(SyncServer(whole("alice"))) as server:
        mirror = Mirror(settings(server), None, path, forget_all=lambda: forgotten.append("everybody"))
        async with run(mirror) as task:
            await until(task, lambda: mirror.status().state == "following")
            assert (await asyncio.to_thread(ask_mirror, path, "status"))["server"] == server.url
            assert forgotten == ["everybody"]
            mirror.rebuild()
            await until(task, lambda: mirror.status().generation == 2)
        assert not (path / "mirror.sock").exists()


async def test_a_mirror_that_ended_in_order_can_be_run_again(path: Path) -> None:
    async with fake_server(SyncServer(whole("alice"))) as server:
        for reloads in (1, 0):
            mirror = Mirror(settings(server), None, path)
            async with run(mirror) as task:
                await until(task, lambda: mirror.status().state == "following")  # noqa: B023 (awaited here)
                assert mirror.status().reloads == reloads


async def test_only_one_process_keeps_a_mirror(path: Path) -> None:
    async with fake_server(SyncServer(whole("alice"))) as server:
        mirror = Mirror(settings(server), None, path)
        async with run(mirror) as task, run(Mirror(settings(server), None, path)) as second:
            await until(task, lambda: mirror.status().state == "following")
            with pytest.raises(Unusable, match="another process"):
                await second
            assert (await asyncio.to_thread(ask_mirror, path, "status"))["state"] == "following"


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_active_directory_is_followed_in_its_own_way(path: Path, method: Any) -> None:
    async with fake_server(SyncServer(whole("alice"))) as server:
        mirror = Mirror(settings(server, follow=FollowSettings(method=method)), None, path)
        async with run(mirror) as task:
            await until(task, lambda: mirror.status().message != "")  # it is none
            assert mirror.status().state == "disconnected"


def test_tls_without_a_context_is_refused_at_once(path: Path) -> None:
    with pytest.raises(ValueError, match="TLS context"):
        Mirror(settings("ldaps://a"), None, path)


def test_a_password_that_cannot_be_read_is_told_at_once(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Mirror(settings("ldap://a", bind_dn="cn=x", bind_password_file=path / "missing"), None, path)


def test_servers_are_followed_in_their_order() -> None:
    servers = (ServerSettings(url="ldap://b", priority=2), ServerSettings(url="ldap://a", priority=1))
    assert urls_of(DirectorySettings(kind="ldap", server=servers, base=BASE)) == ("ldap://a", "ldap://b")
    assert urls_of(settings("ldap://a", follow=FollowSettings(servers=("ldap://c",)))) == ("ldap://c",)
