"""The follower for Active Directory: which controller it stays with, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldapmap.client.connection import Target
from ldapmap.errors import ServerFault
from ldapmap.mirror import polling
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.listing import ListingConnection
from ldapmap.mirror.polling import PollingFollower, attributes_in, parts_of
from ldapmap.mirror.status import MirrorStatus
from ldapmap.settings import DirectorySettings, FollowSettings, ShardEntrySettings
from ldapmap.targets import target_for
from tests.ldapmap.mirror.domain import CONTEXT, PEOPLE, Domain

URLS = ("ldap://dc1.example.test", "ldap://dc2.example.test")
SETTINGS = DirectorySettings(
    kind="ldap",
    servers=URLS,
    allow_cleartext=True,
    base=PEOPLE,
    filter="(objectClass=user)",
    mirror=True,
    follow=FollowSettings(method="usn", poll=0.05, retry=0.1),
)


class Forest:
    """Two controllers of one domain; `down` holds the names of those that are away, `visited` whoever was asked."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, settings: DirectorySettings = SETTINGS) -> None:
        self.domain = Domain()
        self.down: set[str] = set()
        self.visited: list[str] = []
        self.forgotten: list[str] = []
        self.copies = Copies(settings, path, forget=self.forgotten.append, forget_all=self.forgotten.clear)
        self.copies.open()
        targets = [target_for(url, settings, None) for url in URLS]
        self.follower = PollingFollower(settings, targets, None, self.copies)
        monkeypatch.setattr(polling, "open_connection", self.connect)

    async def connect(self, kind: type[ListingConnection], target: Target, *_: Any) -> ListingConnection:
        await asyncio.sleep(0)
        self.visited.append(target.address.host.partition(".")[0])
        if self.visited[-1] in self.down:
            raise ServerFault("away")
        return self.domain.connection()

    def cut(self, *names: str) -> None:
        """These controllers go away, and whatever is connected is cut."""
        self.down = set(names)
        self.domain.broken = ServerFault("cut")

    def mend(self) -> None:
        self.domain.broken = None

    async def until(self, condition: Callable[[MirrorStatus], bool]) -> MirrorStatus:
        async with asyncio.timeout(10):
            while not condition(status := self.copies.status()):
                await asyncio.sleep(0)
        return status


@pytest.fixture
def forest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Forest]:
    return lambda **changes: Forest(tmp_path, monkeypatch, replace(SETTINGS, **changes))


@contextlib.asynccontextmanager
async def running(forest: Forest) -> AsyncIterator[None]:
    task = asyncio.ensure_future(forest.follower.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        forest.copies.close()


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_the_first_controller_that_answers_is_followed(forest: Callable[..., Forest], method: Any) -> None:
    one = forest(follow=replace(SETTINGS.follow, method=method))
    one.domain.user("alice")
    one.down = {"dc1"}
    async with running(one):
        status = await one.until(lambda status: status.state == "following")
        assert (status.users, status.reconnects) == (1, 0)
    assert one.visited == ["dc1", "dc2"]


async def test_it_stays_with_a_controller_whose_connection_was_cut(forest: Callable[..., Forest]) -> None:
    one = forest()
    one.down = {"dc1"}
    async with running(one):
        await one.until(lambda status: status.state == "following")
        one.cut()
        await one.until(lambda status: status.state == "disconnected")
        one.mend()
        await one.until(lambda status: status.state == "following")
        assert one.visited[:3] == ["dc1", "dc2", "dc2"]
        assert (one.copies.status().reloads, one.copies.status().reconnects) == (1, 1)


async def test_when_it_does_not_come_back_the_other_one_is_followed(forest: Callable[..., Forest]) -> None:
    one = forest()
    async with running(one):
        await one.until(lambda status: status.state == "following")
        one.cut("dc1")
        status = await one.until(lambda status: status.state == "disconnected")
        assert "cut" in status.message or "away" in status.message
        one.mend()
        await one.until(lambda status: status.state == "following")
        one.cut("dc2")
        await one.until(lambda status: status.state == "disconnected")
        one.mend()
        await one.until(lambda status: status.state == "following" and status.reconnects >= 1)
    assert {"dc1", "dc2"} == set(one.visited)


async def test_an_order_to_rebuild_is_obeyed_on_the_same_connection(forest: Callable[..., Forest]) -> None:
    one = forest()
    users = [one.domain.user(f"user{number}") for number in range(10)]
    async with running(one):
        await one.until(lambda status: status.state == "following")
        for user in users[:9]:
            user.deleted = True
        one.copies.rebuild_ordered.set()
        await one.until(lambda status: status.reloads == 2 and status.users == 1)
    assert one.visited == ["dc1"]


async def test_a_base_outside_of_the_context_is_told(forest: Callable[..., Forest]) -> None:
    one = forest(base="OU=people,DC=other")
    async with running(one):
        status = await one.until(lambda status: "naming context" in status.message)
        assert status.state == "disconnected"


async def test_a_load_that_lost_too_many_users_is_refused(
    forest: Callable[..., Forest], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = forest()
    users = [one.domain.user(f"user{number}") for number in range(10)]
    async with running(one):
        await one.until(lambda status: status.state == "following")
        for user in users[:9]:
            user.deleted = True
        # an order that is taken back while it is carried out
        one.domain.between = one.copies.rebuild_ordered.clear
        one.copies.rebuild_ordered.set()
        status = await one.until(lambda status: status.state == "refused")
        assert (status.users, status.purges_refused >= 1) == (10, True)


async def test_a_file_that_cannot_be_written_is_told(
    forest: Callable[..., Forest], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = forest()

    def full() -> Any:
        raise OSError("No space left on device")

    monkeypatch.setattr(one.copies, "load", full)
    async with running(one):
        status = await one.until(lambda status: "No space left" in status.message)
        assert status.server == ""


async def test_while_nobody_answers_the_pauses_grow_up_to_the_limit(forest: Callable[..., Forest]) -> None:
    one = forest()
    one.down = {"dc1", "dc2"}
    async with running(one):
        async with asyncio.timeout(10):
            while one.follower._pause < SETTINGS.follow.retry:
                await asyncio.sleep(0)
        one.down.clear()
        await one.until(lambda status: status.state == "following")
    assert one.visited[:4] == ["dc1", "dc2", "dc1", "dc2"]


async def test_the_wanted_parts_are_the_bases_and_the_shards(tmp_path: Path) -> None:
    shards = ShardEntrySettings(base=f"OU=shards,{CONTEXT}", filter="(|(cn=s*)(1.2.840.113556.1.4.803:dn:=x))")
    settings = replace(SETTINGS, shards=shards, filter="(&(objectCategory=person)(!(userAccountControl:1.2:=2)))")
    assert [part.base for part in parts_of(settings, lambda user: None)] == [PEOPLE, shards.base]
    names = {"objectCategory", "userAccountControl", "cn", "1.2.840.113556.1.4.803"}
    assert attributes_in(settings) == names
