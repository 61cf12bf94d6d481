"""What the follower does with servers that misbehave in every way a real one does not on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ldapmap import DirectorySettings, DomainSettings
from ldapmap.mirror import follower as follower_module
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.follower import SyncFollower, parts_of
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.status import MirrorStatus
from ldapmap.sections import FollowSettings, ShardEntrySettings
from ldapmap.targets import target_for
from tests.ldapmap.fake import FakeServer, fake_server
from tests.ldapmap.mirror.sync_server import (
    BASE,
    BEHIND,
    COOKIE,
    SyncServer,
    ends,
    nothing,
    part,
    refreshed,
    user,
    whole,
)

REFRESH_REQUIRED, UNWILLING = 4096, 53


class Following:
    """A follower at work."""

    def __init__(self, settings: DirectorySettings, path: Path, copies: Copies) -> None:
        self.path, self.copies, self.settings = path, copies, settings
        targets = [target_for(url, settings, None) for url in settings.servers]
        self.task = asyncio.ensure_future(SyncFollower(settings, targets, None, copies).run())

    @property
    def status(self) -> MirrorStatus:
        return self.copies.status()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0)

    async def follows(self) -> None:
        await self.until(lambda: self.status.state == "following")

    def found(self, name: str) -> bool:
        routes = Routes(self.path, fingerprint=fingerprint(self.settings), trust=60.0)
        try:
            return routes.find(0, name) is not None
        finally:
            routes.close()

    @property
    def files(self) -> list[str]:
        """The loads of which any file is there."""
        return sorted({each.name.partition(".")[0] for each in self.path.glob("mirror-*")})


@contextlib.asynccontextmanager
async def following(path: Path, *servers: FakeServer, **changes: Any) -> AsyncIterator[Following]:
    given: dict[str, Any] = {
        "servers": tuple(server.url for server in servers),
        "base": BASE,
        "operation_timeout": 0.2,
        "follow": FollowSettings(heartbeat=0.1, retry=0.1),
        **changes,
    }
    settings = DirectorySettings(kind="ldap", **given)
    copies = Copies(settings, path, forget=lambda user: None, forget_all=lambda: None)
    copies.open()
    work = Following(settings, path, copies)
    try:
        yield work
    finally:
        work.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work.task
        copies.close()


async def test_a_first_load_that_dies_half_way_starts_anew_and_leaves_no_file(tmp_path: Path) -> None:
    script = SyncServer(part("alice"), nothing, whole("alice", "bob"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.until(lambda: work.status.message)
        assert work.files == []
        await work.until(lambda: len(script.searches) == 2)
        assert not work.found("alice")
        assert script.conversation is not None
        script.conversation.close()
        await work.follows()
        assert (work.status.users, work.status.generation, work.status.reloads) == (2, 1, 1)
        assert all(COOKIE not in search for search in script.searches)


async def test_a_connection_that_is_lost_is_taken_up_from_the_cookie(tmp_path: Path) -> None:
    script = SyncServer(whole("alice"), whole())
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        assert script.conversation is not None
        script.conversation.close()
        await work.until(lambda: work.status.reconnects == 1)
        assert COOKIE in script.searches[1]
        assert (work.status.received, work.status.reloads) == (1, 1)


@pytest.mark.parametrize("end", [ends(REFRESH_REQUIRED), ends(UNWILLING, BEHIND)])
async def test_a_server_that_cannot_go_on_is_passed_over_for_one_that_can(tmp_path: Path, end: Any) -> None:
    behind, fit = SyncServer(whole("alice"), end), SyncServer(whole())
    async with fake_server(behind) as first, fake_server(fit) as second, following(tmp_path, first, second) as work:
        await work.follows()
        await drop(behind, work, 1)
        await work.until(lambda: work.status.server == second.url)
        await drop(fit, work, 1)
        await work.until(lambda: len(behind.searches) == 2 and work.status.reconnects == 2)
        assert work.status.server == second.url
        assert work.status.reloads == 1


async def drop(script: SyncServer, work: Following, searches: int) -> None:
    await work.until(lambda: len(script.searches) == searches)
    assert script.conversation is not None
    script.conversation.close()
    script.conversation = None


@pytest.mark.parametrize("end", [ends(REFRESH_REQUIRED), ends(UNWILLING, BEHIND)])
async def test_everything_is_loaded_anew_when_no_server_can_go_on(tmp_path: Path, end: Any) -> None:
    script = SyncServer(whole("alice"), end, whole("alice", "bob"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        await drop(script, work, 1)
        await work.until(lambda: work.status.generation == 2)
        await work.follows()
        assert COOKIE in script.searches[1]
        assert COOKIE not in script.searches[2]
        assert work.found("bob")
        assert work.files == ["mirror-2"]


async def test_a_load_that_has_lost_many_users_is_refused_and_not_repeated_at_once(tmp_path: Path) -> None:
    script = SyncServer(whole("a", "b", "c"), ends(REFRESH_REQUIRED), whole("a"), ends(REFRESH_REQUIRED))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        await drop(script, work, 1)
        await work.until(lambda: work.status.state == "refused" and len(script.searches) >= 5)
        assert work.status.purges_refused == 1
        assert "2 of 3" in work.status.message
        assert work.found("b")
        assert work.files == ["mirror-1"]
        assert all(COOKIE in search for search in script.searches[3:])
        script.answers.append(whole("a"))
        script.answers += [whole("a")] * len(script.searches)
        work.copies.rebuild_ordered.set()
        await work.follows()
        assert not work.found("b")


async def test_a_purge_that_is_refused_is_left_to_the_next_server(tmp_path: Path) -> None:
    first, second = SyncServer(whole("a", "b", "c"), whole()), SyncServer(whole("a", "b", "c"))
    async with fake_server(first) as near, fake_server(second) as far, following(tmp_path, near, far) as work:
        for script, server in ((first, near), (second, far)):
            await work.until(lambda: (work.status.state, work.status.server) == ("following", server.url))  # noqa: B023
            writer = work.copies.writer
            assert writer is not None
            with writer.transaction() as change:
                change.set_cookie(BASE, b"")  # so everything is compared
            await drop(script, work, 1)
        await work.until(lambda: len(second.searches) == 2 and work.status.state == "following")
        assert work.status.server == far.url
        assert work.status.purges_refused == 1
        assert work.found("c")


async def test_a_rebuild_is_obeyed_with_the_server_that_is_followed(tmp_path: Path) -> None:
    script, other = SyncServer(whole("alice"), whole("bob", "carol")), SyncServer(whole())
    async with fake_server(script) as near, fake_server(other) as far, following(tmp_path, near, far) as work:
        await work.follows()
        work.copies.rebuild_ordered.set()
        await work.until(lambda: work.status.generation == 2)
        await work.follows()
        assert work.found("bob")
        assert not work.found("alice")
        assert other.searches == []


async def test_a_rebuild_that_cannot_be_obeyed_yet_is_not_forgotten(tmp_path: Path) -> None:
    script = SyncServer(whole("alice"), ends(51), ends(51), whole("bob"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        work.copies.rebuild_ordered.set()
        await work.until(lambda: "busy" in work.status.message)
        assert work.found("alice")
        await work.until(lambda: work.status.generation == 2)
        assert not work.found("alice")


async def test_a_rebuild_ends_the_pause_between_two_attempts(tmp_path: Path) -> None:
    script = SyncServer(ends(51), whole("alice"))
    follow = FollowSettings(heartbeat=0.1, retry=600.0)
    async with fake_server(script) as server, following(tmp_path, server, follow=follow) as work:
        await work.until(lambda: "busy" in work.status.message)
        work.copies.rebuild_ordered.set()
        await work.follows()


async def test_a_server_is_asked_whether_it_lives_and_left_when_it_does_not(tmp_path: Path) -> None:
    script = SyncServer(whole("alice"), whole())
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        await work.until(lambda: script.probes >= 2)
        assert work.status.reconnects == 0
        script.silent = True
        await work.until(lambda: work.status.state == "disconnected")
        assert "no answer" in work.status.message
        script.silent = False
        await work.follows()


async def test_a_refresh_that_does_not_go_on_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_SILENT_REFRESH", 0.05)
    script = SyncServer(nothing, whole("alice"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()
        assert len(script.searches) == 2


async def test_entries_without_a_route_are_told(tmp_path: Path) -> None:
    def unrouted(request: Any, conversation: Any) -> None:
        conversation.send(user("alice", "")(request), refreshed(COOKIE)(request))

    async with fake_server(SyncServer(unrouted)) as server, following(tmp_path, server) as work:
        await work.follows()
        assert (work.status.users, work.status.unusable) == (0, 1)
        assert "has no mailHost" in work.status.message


async def test_a_server_that_is_not_there_is_a_failure_like_any_other(tmp_path: Path) -> None:
    async with fake_server(SyncServer(whole())) as server:
        pass
    async with following(tmp_path, server) as work:
        await work.until(lambda: work.status.state == "disconnected" and work.status.message)


async def test_a_disk_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = SyncServer(whole("alice"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()

        def full() -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(work.copies, "applied", full)
            script.send(user("bob"))
            await work.until(lambda: "No space" in work.status.message)
        await work.follows()


async def test_a_mistake_of_ours_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = SyncServer(whole("alice"))
    async with fake_server(script) as server, following(tmp_path, server) as work:
        await work.follows()

        def mistaken() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(work.copies, "applied", mistaken)
        script.send(user("bob"))
        with pytest.raises(ZeroDivisionError):
            await work.task
        work.task = asyncio.ensure_future(asyncio.sleep(0))


def test_every_base_is_followed_and_the_shards() -> None:
    settings = DirectorySettings(
        kind="ldap",
        base="dc=x",
        domain=(DomainSettings(names=("y.example",), base="dc=y"), DomainSettings(names=("z.example",))),
        shards=ShardEntrySettings(base="dc=x", filter="(objectClass=device)"),
    )
    searches = [part.search for part in parts_of(settings, lambda user: None)]
    assert [search.name for search in searches] == ["dc=x", "dc=y", "shards dc=x"]
    assert [search.base for search in searches] == ["dc=x", "dc=y", "dc=x"]
    assert searches[0].attributes == ("uid", "mailHost")
    assert searches[2].attributes == ("cn", "vestibuleBackend")
