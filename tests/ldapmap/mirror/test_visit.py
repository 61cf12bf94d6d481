"""A visit to a domain controller leaves the mirror equal to the directory, whatever happened there in the meantime."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ldapmap.errors import Misconfigured
from ldapmap.mirror import visit as module
from ldapmap.mirror.controller import introduce
from ldapmap.mirror.copies import Copies
from ldapmap.mirror.dirsync import DirSyncChanges
from ldapmap.mirror.errors import Full, PurgeRefused
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.polling import parts_of
from ldapmap.mirror.routes import Routes
from ldapmap.mirror.usn import UsnChanges
from ldapmap.mirror.visit import COMPARE_AGAIN_SECONDS, COMPARE_SECONDS, Changes, Visit
from ldapmap.settings import Attributes, DirectorySettings, FollowSettings, ShardEntrySettings
from tests.ldapmap.mirror.domain import CONTEXT, PEOPLE, Domain, Thing

SETTINGS = DirectorySettings(
    kind="ldap",
    servers=("ldaps://dc1.example.test",),
    base=PEOPLE,
    filter="(objectClass=user)",
    attributes=Attributes(aliases=("mail",)),
    mirror=True,
    follow=FollowSettings(method="usn", poll=0.05, purge_limit=50.0),
)


class Mirror:
    """A mirror's files, the domain it follows, and what was forgotten."""

    def __init__(self, path: Path, domain: Domain, settings: DirectorySettings = SETTINGS) -> None:
        self.path, self.domain, self.settings = path, domain, settings
        self.forgotten: list[str] = []
        self.copies = Copies(settings, path, forget=self.forgotten.append, forget_all=self.forgotten.clear)
        self.copies.open()

    async def visit(self, method: str = "usn") -> Visit:
        connection = self.domain.connection()
        controller = await introduce(connection, "", 1.0)
        changes: Changes = UsnChanges(connection, controller, 1.0)
        if method == "dirsync":
            changes = DirSyncChanges(connection, controller, ["uid", "mail", "mailHost"])
        parts = parts_of(self.settings, self.copies.forget)
        return Visit(connection, changes, controller.context, parts, self.copies, self.settings.follow)

    def users(self) -> dict[str, str]:
        """DN and shard of everybody that logins find, by name."""
        routes = Routes(self.path, fingerprint=fingerprint(self.settings), trust=60.0)
        names = {each.values["uid"] for each in self.domain.things if "uid" in each.values} | {"gone", "alice", "bob"}
        found = {name: routes.find(0, name) for name in names}
        routes.close()
        return {name: f"{entry.dn} {entry.shard}" for name, entry in found.items() if entry}

    def expected(self) -> dict[str, str]:
        """The same as the domain has it."""
        users = [each for each in self.domain.things if not each.deleted and each.dn.endswith(f",{PEOPLE}")]
        return {each.values["uid"]: f"{each.dn} {each.values['mailHost']}" for each in users if "uid" in each.values}


@pytest.fixture
def domain() -> Domain:
    return Domain()


@pytest.fixture
def mirror(tmp_path: Path, domain: Domain) -> Mirror:
    return Mirror(tmp_path, domain)


@contextlib.asynccontextmanager
async def following(visit: Visit) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(visit.follow())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def asked_again(domain: Domain, times: int = 2) -> None:
    """Until the follower has looked at the domain's number so often."""
    async with asyncio.timeout(10):
        counted = len(domain.asked)
        while sum(each.base == "" for each in domain.asked[counted:]) < times:
            await asyncio.sleep(0)


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_everybody_is_loaded_and_then_followed(mirror: Mirror, domain: Domain, method: str) -> None:
    alice, bob = domain.user("alice"), domain.user("bob", mailHost="s2")
    domain.user("elsewhere", domain.root)
    visit = await mirror.visit(method)
    await visit.load()
    assert mirror.users() == mirror.expected()
    assert set(mirror.expected()) == {"alice", "bob"}
    async with following(visit):
        domain.set(alice, mailHost="s3")
        domain.delete(bob)
        domain.user("carol")
        await settled(mirror)
    assert mirror.copies.status().state == "following"
    assert mirror.copies.status().changes == 3
    assert {"alice", "bob"} <= set(mirror.forgotten)


async def settled(mirror: Mirror) -> None:
    """Until the mirror is as the domain is."""
    async with asyncio.timeout(10):
        while mirror.users() != mirror.expected():
            await asyncio.sleep(0)


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_moves_renames_and_changes_of_class_are_followed(mirror: Mirror, domain: Domain, method: str) -> None:
    users = [domain.user(f"user{number}") for number in range(6)]
    visit = await mirror.visit(method)
    await visit.load()
    async with following(visit):
        domain.move(users[0], "CN=renamed", domain.people)
        domain.move(users[1], users[1].name, domain.root)
        users[2].classes = ["contact"]
        domain.touch(users[2])
        domain.set(users[3], uid="other", mail="user3")
        outside = domain.user("outside", domain.root)
        domain.move(outside, outside.name, domain.people)
        users[2].values.pop("uid")
        await settled(mirror)


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_whoever_is_below_a_renamed_or_moved_unit_is_read_again(
    mirror: Mirror, domain: Domain, method: str
) -> None:
    staff = domain.add("OU=staff", domain.people, ["organizationalUnit"])
    inner = domain.add("OU=inner", staff, ["organizationalUnit"])
    away = domain.add("OU=away", domain.root, ["organizationalUnit"])
    for number in range(5):
        domain.user(f"inner{number}", inner)
        domain.user(f"staff{number}", staff)
        domain.user(f"away{number}", away)
    visit = await mirror.visit(method)
    await visit.load()
    async with following(visit):
        domain.move(staff, "OU=crew", domain.people)
        await settled(mirror)
        domain.move(inner, "OU=inner", domain.root)
        await settled(mirror)
        domain.move(away, "OU=arrived", domain.people)
        await settled(mirror)
    assert len(mirror.users()) == 10


async def test_a_visit_goes_on_where_the_one_before_was(mirror: Mirror, domain: Domain) -> None:
    alice = domain.user("alice")
    await (await mirror.visit()).load()
    loaded = mirror.copies.status().received
    visit = await mirror.visit()
    async with following(visit):
        await asked_again(domain)
    domain.set(alice, mailHost="s2")
    async with following(await mirror.visit()):
        await settled(mirror)
    assert mirror.copies.status().received == loaded + 1
    assert mirror.copies.status().reloads == 1


async def test_at_another_database_everything_is_compared(mirror: Mirror, domain: Domain) -> None:
    users = [domain.user(f"user{number}") for number in range(10)]
    await (await mirror.visit()).load()
    domain.invocation = b"x" * 16
    users[0].values["mailHost"] = "s2"
    users[1].deleted = True
    domain.things.append(Thing("CN=new", domain.people, ["user"], {"uid": "new", "mailHost": "s1"}))
    async with following(await mirror.visit()):
        await settled(mirror)
    assert mirror.copies.status().reloads == 1
    received = mirror.copies.status().received
    async with following(await mirror.visit()):
        await asked_again(domain)
    assert mirror.copies.status().received == received


async def test_changes_during_a_comparison_are_not_undone_by_it(mirror: Mirror, domain: Domain) -> None:
    users = [domain.user(f"user{number}") for number in range(20)]
    await (await mirror.visit()).load()
    domain.invocation = b"x" * 16
    dice = random.Random(3)

    def happen() -> None:
        if len(domain.things) < 60:
            domain.user(f"late{len(domain.things)}")
            domain.delete(victim) if not (victim := dice.choice(users)).deleted else None
            domain.set(changed, mailHost="s9") if not (changed := dice.choice(users)).deleted else None

    domain.between = happen
    async with following(await mirror.visit()):
        await settled(mirror)
        await asked_again(domain)
    assert mirror.users() == mirror.expected()


async def test_too_many_that_vanish_are_kept_until_an_operator_says_so(mirror: Mirror, domain: Domain) -> None:
    users = [domain.user(f"user{number}") for number in range(10)]
    await (await mirror.visit()).load()
    domain.invocation = b"x" * 16
    for user in users[:6]:
        user.deleted = True
    visit = await mirror.visit()
    async with following(visit) as task:
        await asked_again(domain, 12)
        status = mirror.copies.status()
        assert (status.state, status.users, status.purges_refused) == ("refused", 10, 1)
        assert "6 of 10" in status.message
        domain.set(users[7], mailHost="s2")
        async with asyncio.timeout(10):
            while "s2" not in mirror.users()["user7"]:
                await asyncio.sleep(0)
        mirror.copies.rebuild_ordered.set()
        await task
    await visit.load()
    assert mirror.users() == mirror.expected()
    async with following(visit):
        await asked_again(domain)
    assert mirror.copies.status().state == "following"


async def test_what_was_refused_is_compared_again(
    mirror: Mirror, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [domain.user(f"user{number}") for number in range(10)]
    await (await mirror.visit()).load()
    domain.invocation = b"x" * 16
    for user in users[:6]:
        user.deleted = True
    monkeypatch.setattr(module, "COMPARE_AGAIN_SECONDS", 0.0)
    async with following(await mirror.visit()):
        await asked_again(domain, 12)
        assert mirror.copies.status().state == "refused"
        for user in users[:6]:
            user.deleted = False
        async with asyncio.timeout(10):
            while mirror.copies.status().state != "following":
                await asyncio.sleep(0)
    assert mirror.users() == mirror.expected()
    assert COMPARE_AGAIN_SECONDS < COMPARE_SECONDS


async def test_deletions_that_are_hidden_are_found_by_the_next_comparison(
    mirror: Mirror, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alice", "bob", "carol", "dave"):
        domain.user(name)
    domain.hidden = True
    await (await mirror.visit()).load()
    visit = await mirror.visit()
    async with following(visit):
        domain.delete(domain.things[-1])
        await asked_again(domain, 3)
        assert "dave" in mirror.users() or "dave" not in {each.values.get("uid") for each in domain.things}
        assert "deleted objects" in mirror.copies.status().message
        assert mirror.copies.status().users == 4
    monkeypatch.setattr(module, "COMPARE_SECONDS", 0.0)
    async with following(await mirror.visit()):
        async with asyncio.timeout(10):
            while mirror.copies.status().users != 3:
                await asyncio.sleep(0)


async def test_a_load_that_fails_leaves_nothing_behind(mirror: Mirror, domain: Domain) -> None:
    domain.user("alice")
    visit = await mirror.visit()
    domain.broken = Misconfigured("gone")
    with pytest.raises(Misconfigured):
        await visit.load()
    assert [path.name for path in mirror.path.iterdir()] == ["lock"]
    assert mirror.copies.status().state == "loading"


async def test_a_load_that_is_refused_leaves_the_former_copy(mirror: Mirror, domain: Domain) -> None:
    users = [domain.user(f"user{number}") for number in range(4)]
    await (await mirror.visit()).load()
    for user in users[:3]:
        domain.delete(user)
    with pytest.raises(PurgeRefused):
        await (await mirror.visit()).load()
    assert mirror.copies.status().users == 4


async def test_a_transaction_without_room_is_done_again_a_few_times(
    mirror: Mirror, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = domain.user("alice")
    visit = await mirror.visit()
    await visit.load()
    writer: Any = mirror.copies.writer
    real, refusals = writer.transaction, [Full("no room"), Full("no room")]

    def transaction() -> Any:
        if refusals:
            raise refusals.pop()
        return real()

    monkeypatch.setattr(writer, "transaction", transaction)
    domain.set(alice, mailHost="s2")
    async with following(visit):
        await settled(mirror)
    refusals += [Full("no room")] * 10
    domain.set(alice, mailHost="s3")
    with pytest.raises(Full):
        await visit.follow()


async def test_the_server_that_is_heard_keeps_the_mirror_fresh(mirror: Mirror, domain: Domain) -> None:
    domain.user("alice")
    settings = replace(SETTINGS.follow, heartbeat=0.1)
    mirror.settings = replace(SETTINGS, follow=settings)
    visit = await mirror.visit()
    await visit.load()
    loaded = mirror.copies.status().last_contact
    async with following(visit):
        async with asyncio.timeout(10):
            while mirror.copies.status().last_contact == loaded:
                await asyncio.sleep(0)
    routes = Routes(mirror.path, fingerprint=fingerprint(mirror.settings), trust=60.0)
    assert routes.fresh
    routes.close()


async def test_shards_are_followed_too(tmp_path: Path, domain: Domain) -> None:
    base = domain.add("OU=shards", domain.root, ["organizationalUnit"])
    shard = domain.add("CN=s1", base, ["device"], cn="s1", vestibuleBackend="mb1.example")
    settings = replace(SETTINGS, shards=ShardEntrySettings(base=base.dn, filter="(objectClass=device)"))
    mirror = Mirror(tmp_path, domain, settings)
    visit = await mirror.visit()
    await visit.load()
    writer = mirror.copies.writer
    assert writer is not None
    assert list(writer.shards()) == ["s1"]
    async with following(visit):
        domain.set(shard, vestibuleBackend="mb2.example")
        async with asyncio.timeout(10):
            while "mb2" not in writer.shards()["s1"]:
                await asyncio.sleep(0)
        domain.delete(shard)
        async with asyncio.timeout(10):
            while writer.shards():
                await asyncio.sleep(0)
    assert CONTEXT in base.dn


@pytest.mark.parametrize("method", ["usn", "dirsync"])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_the_mirror_ends_up_as_the_domain(
    mirror: Mirror, domain: Domain, method: str, seed: int
) -> None:
    dice = random.Random(seed)
    happenings = Happenings(domain, dice)
    for _ in range(30):
        happenings.one()
    visit = await mirror.visit(method)
    await visit.load()
    domain.between = lambda: happenings.one() if dice.random() < 0.1 and happenings.left() else None
    for round_number in range(4):
        async with following(await mirror.visit(method)):
            for _ in range(dice.randrange(10)):
                happenings.one()
                await asyncio.sleep(0)
            await settled(mirror)
        if round_number == 2:
            domain.invocation = b"y" * 16


class Happenings:
    """Random changes to a domain; no name is used twice, since names that clash are sought at the servers anyway."""

    def __init__(self, domain: Domain, dice: random.Random) -> None:
        self._domain, self._dice = domain, dice
        self._number = 0
        outside = domain.add("OU=outside", domain.root, ["organizationalUnit"])
        self._units = [domain.people, outside]
        for number in range(3):
            self._units.append(domain.add(f"OU=unit{number}", domain.people, ["organizationalUnit"]))

    def left(self) -> bool:
        return self._number < 150

    def one(self) -> None:
        self._number += 1
        domain, dice = self._domain, self._dice
        users = [each for each in domain.things if "uid" in each.values]
        what = dice.randrange(8)
        if what < 3 or len(users) < 4:
            domain.user(f"user{self._number}", dice.choice(self._units))
        elif what == 3:
            domain.delete(dice.choice(users))
        elif what == 4:
            user = dice.choice(users)
            domain.move(user, f"CN=moved{self._number}", dice.choice(self._units))
        elif what == 5:
            domain.move(dice.choice(self._units[2:]), f"OU=renamed{self._number}", dice.choice(self._units[:2]))
        elif what == 6:
            domain.set(dice.choice(users), uid=f"name{self._number}")
        else:
            domain.set(dice.choice(users), mailHost=f"s{dice.randrange(5)}")
