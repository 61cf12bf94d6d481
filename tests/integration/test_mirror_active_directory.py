"""The mirror follows Active Directory, which is Samba here: by update sequence numbers and by DirSync."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ldapmap import Attributes, DirectorySettings, Mirror, NameRules
from ldapmap.mirror import listing
from ldapmap.mirror.fingerprint import fingerprint
from ldapmap.mirror.routes import Routes
from ldapmap.settings import FollowSettings
from tls import backend_context

from .samba import BASE, PEOPLE, READ_DELETED, REALM, REPLICATE, Samba

SHARD = "msDS-cloudExtensionAttribute1"
DEADLINE_SECONDS = 30.0
"""It only bounds how long a broken test takes to say so."""
USERS = 30


@pytest.fixture(scope="module")
def privileged() -> Iterator[Samba]:
    """A controller where the service identity has both rights that help."""
    with Samba() as server:
        server.grant(READ_DELETED)
        server.grant(REPLICATE)
        for number in range(USERS):
            server.add_user(f"user{number}", "secret", **{SHARD: "s1"})
        yield server


@pytest.fixture
def own() -> Iterator[Samba]:
    """A controller that a test may hurt; the service identity is an ordinary user."""
    with Samba() as server:
        for number in range(USERS):
            server.add_user(f"user{number}", "secret", **{SHARD: "s1"})
        yield server


class Running:
    """A mirror that follows `servers`."""

    def __init__(self, path: Path, *servers: Samba, method: Any = "usn", **changes: Any) -> None:
        first = servers[0]
        follow: dict[str, Any] = {"poll": 0.05, "heartbeat": 0.2, "retry": 1.0, **changes.pop("follow", {})}
        given: dict[str, Any] = {
            "servers": tuple(server.ldap for server in servers),
            "allow_cleartext": True,
            "base": PEOPLE,
            "filter": "(&(objectCategory=person)(objectClass=user))",
            "bind_dn": f"svc@{REALM}",
            "bind_password_file": first.password_file,
            "attributes": Attributes(user="sAMAccountName", aliases=("userPrincipalName",), shard=SHARD),
            "names": NameRules(nt_domains=("EXAMPLE",)),
            "operation_timeout": 1.0,
            "connect_timeout": 1.0,
            "mirror": True,
            "follow": FollowSettings(method=method, **follow),
            **changes,
        }
        self.settings = DirectorySettings(kind="ldap", **given)
        self.mirror = Mirror(self.settings, backend_context(first.ca_file, verify=True), path)
        self._routes = Routes(path, fingerprint=fingerprint(self.settings), trust=2.0)

    def shard(self, name: str) -> str:
        """The shard of a user; empty: nobody is found."""
        self._routes.look()
        entry = self._routes.find(0, name)
        return entry.shard if entry else ""

    def dn(self, name: str) -> str:
        self._routes.look()
        entry = self._routes.find(0, name)
        return entry.dn if entry else ""

    @property
    def fresh(self) -> bool:
        self._routes.look()
        return self._routes.fresh

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until it holds, or the status is told."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not condition():
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(str(self.mirror.status())) from None

    async def following(self, state: str = "following") -> None:
        await self.until(lambda: self.mirror.status().state == state)

    def close(self) -> None:
        self._routes.close()


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vest-mirror-", dir="/tmp") as folder:
        yield Path(folder)


@contextlib.asynccontextmanager
async def running(path: Path, *servers: Samba, wait: str = "following", **changes: Any) -> AsyncIterator[Running]:
    """A mirror that has got as far as `wait`, in a task that ends with the block."""
    mirror = Running(path, *servers, **changes)
    task = asyncio.ensure_future(mirror.mirror.run())
    try:
        if wait:
            await mirror.following(wait)
        yield mirror
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        mirror.close()


async def done(work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Do something to a server while the mirror goes on."""
    return await asyncio.to_thread(work, *arguments, **named)


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_everything_that_happens_to_a_user_is_seen(path: Path, privileged: Samba, method: str) -> None:
    samba, name = privileged, f"one-{method}"
    async with running(path, samba, method=method) as mirror:
        status = mirror.mirror.status()
        assert (status.users >= USERS, status.message, status.reloads) == (True, "", 1)
        dn = await done(samba.add_user, name, "secret", **{SHARD: "s1"})
        await mirror.until(lambda: mirror.shard(name) == "s1")
        assert mirror.shard(f"{name}@{REALM}") == "s1"
        await done(samba.replace, dn, **{SHARD: "s2"})
        await mirror.until(lambda: mirror.shard(name) == "s2")
        dn = await done(samba.move, dn, f"CN=renamed {method}")
        await mirror.until(lambda: mirror.dn(name) == dn)
        dn = await done(samba.move, dn, f"CN=renamed {method}", f"CN=Users,{BASE}")
        await mirror.until(lambda: mirror.shard(name) == "")
        dn = await done(samba.move, dn, f"CN=renamed {method}", PEOPLE)
        await mirror.until(lambda: mirror.dn(name) == dn)
        await done(samba.replace, dn, sAMAccountName=f"new-{method}")
        await mirror.until(lambda: mirror.shard(f"new-{method}") == "s2" and mirror.shard(name) == "")
        await done(samba.replace, dn, **{SHARD: []})
        await mirror.until(lambda: mirror.shard(f"new-{method}") == "" and mirror.mirror.status().unusable == 2)
        await done(samba.replace, dn, **{SHARD: "s3"})
        await mirror.until(lambda: mirror.shard(f"new-{method}") == "s3")
        before = mirror.mirror.status().entries
        await done(samba.delete, dn)
        await mirror.until(lambda: mirror.shard(f"new-{method}") == "")
        assert mirror.mirror.status().entries == before - 1
        assert mirror.fresh


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_a_renamed_unit_takes_everybody_below_it_along(path: Path, privileged: Samba, method: str) -> None:
    samba = privileged
    unit, name = f"OU=unit {method},{PEOPLE}", f"inner-{method}"
    await done(samba.add, unit, ["organizationalUnit"])
    await done(samba.add_user, name, "secret", unit=unit, **{SHARD: "s1"})
    async with running(path, samba, method=method) as mirror:
        assert mirror.dn(name) == f"CN={name},{unit}"
        moved = await done(samba.move, unit, f"OU=other {method}")
        await mirror.until(lambda: mirror.dn(name) == f"CN={name},{moved}")
        moved = await done(samba.move, moved, f"OU=other {method}", BASE)
        await mirror.until(lambda: mirror.dn(name) == "")


@pytest.mark.parametrize("method", ["usn", "dirsync"])
async def test_after_a_restart_of_ours_only_the_changes_are_read(path: Path, privileged: Samba, method: str) -> None:
    samba = privileged
    async with running(path, samba, method=method):
        pass
    await done(samba.replace, f"CN=user0,{PEOPLE}", **{SHARD: f"again-{method}"})
    async with running(path, samba, method=method) as mirror:
        await mirror.until(lambda: mirror.shard("user0") == f"again-{method}")
        status = mirror.mirror.status()
        assert (status.received, status.reloads) == (1, 0)


async def test_many_users_come_page_by_page(path: Path, privileged: Samba, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 4)
    async with running(path, privileged) as mirror:
        assert mirror.mirror.status().users >= USERS
        dn = f"CN=user1,{PEOPLE}"
        for number in range(3):
            for user in range(10):
                await done(privileged.replace, f"CN=user{user},{PEOPLE}", **{SHARD: f"x{number}"})
        await mirror.until(lambda: all(mirror.shard(f"user{user}") == "x2" for user in range(10)))
        assert mirror.dn("user1") == dn


async def test_with_ordinary_rights_a_deletion_is_not_seen_and_that_is_said(path: Path, own: Samba) -> None:
    async with running(path, own) as mirror:
        assert "deleted objects" in mirror.mirror.status().message
        await done(own.delete, f"CN=user0,{PEOPLE}")
        await done(own.replace, f"CN=user1,{PEOPLE}", **{SHARD: "s2"})
        await mirror.until(lambda: mirror.shard("user1") == "s2")
        assert mirror.shard("user0") == "s1"
        mirror.mirror.rebuild()
        await mirror.until(lambda: mirror.shard("user0") == "")


async def test_without_the_right_dirsync_says_which_one_is_needed(path: Path, own: Samba) -> None:
    async with running(path, own, method="dirsync", wait="") as mirror:
        await mirror.until(lambda: "Replicating Directory Changes" in mirror.mirror.status().message)
        assert mirror.mirror.status().users == 0
        await done(own.grant, REPLICATE)
        await mirror.following()
        assert mirror.shard("user0") == "s1"


async def test_a_controller_that_restarts_is_followed_on(path: Path, own: Samba) -> None:
    async with running(path, own) as mirror:
        received = mirror.mirror.status().received
        await done(own.stop)
        await mirror.following("disconnected")
        assert mirror.shard("user0") == "s1"
        await mirror.until(lambda: not mirror.fresh)
        await done(own.start)
        await mirror.following()
        await mirror.until(lambda: mirror.fresh)
        await done(own.replace, f"CN=user0,{PEOPLE}", **{SHARD: "s2"})
        await mirror.until(lambda: mirror.shard("user0") == "s2")
        status = mirror.mirror.status()
        assert (status.received, status.reloads) == (received + 1, 1)
        assert status.reconnects >= 1


async def test_a_controller_that_hangs_is_noticed(path: Path, own: Samba) -> None:
    async with running(path, own) as mirror:
        own.pause()
        try:
            await mirror.following("disconnected")
        finally:
            own.resume()
        await mirror.following()


async def test_another_controller_takes_over_with_a_comparison(path: Path, own: Samba) -> None:
    with own.left() as tree, Samba(tree) as second:
        async with running(path, own, second) as mirror:
            await done(second.delete, f"CN=user0,{PEOPLE}")
            await done(second.replace, f"CN=user1,{PEOPLE}", **{SHARD: "s2"})
            await done(own.stop)
            await mirror.until(lambda: mirror.shard("user0") == "" and mirror.shard("user1") == "s2")
            await mirror.following()
            assert mirror.mirror.status().server == f"{second.ldap}:389"
            await done(own.start)
            await done(second.replace, f"CN=user1,{PEOPLE}", **{SHARD: "s3"})
            await mirror.until(lambda: mirror.shard("user1") == "s3")
            assert mirror.mirror.status().server == f"{second.ldap}:389"
            assert mirror.mirror.status().reloads == 1


async def test_a_controller_set_back_to_a_snapshot_is_compared(path: Path, own: Samba) -> None:
    with own.left() as tree:
        await done(own.replace, f"CN=user0,{PEOPLE}", **{SHARD: "s2"})
        await done(own.add_user, "later", "secret", **{SHARD: "s1"})
        async with running(path, own) as mirror:
            assert (mirror.shard("user0"), mirror.shard("later")) == ("s2", "s1")
            await done(own.restore, tree)
            await mirror.until(lambda: (mirror.shard("user0"), mirror.shard("later")) == ("s1", ""))


async def test_a_database_with_another_invocation_id_is_compared(path: Path, own: Samba) -> None:
    async with running(path, own) as mirror:
        received = mirror.mirror.status().received
        await done(own.renew_invocation)
        await mirror.until(lambda: mirror.mirror.status().received >= received + USERS)
        await mirror.following()
        assert mirror.mirror.status().reloads == 1


async def test_many_that_vanish_at_once_are_kept_until_an_operator_says_so(path: Path, own: Samba) -> None:
    with own.left() as tree, Samba(tree) as second:
        for number in range(10):
            second.delete(f"CN=user{number},{PEOPLE}")
        async with running(path, own, second) as mirror:
            await done(own.stop)
            await mirror.following("refused")
            assert mirror.shard("user0") == "s1"
            assert "10 of 31" in mirror.mirror.status().message
            mirror.mirror.rebuild()
            await mirror.following()
            assert mirror.shard("user0") == ""


async def test_a_wrong_password_of_the_service_identity_is_told(path: Path, privileged: Samba) -> None:
    secret = path / "wrong.secret"
    secret.write_text("wrong")
    async with running(path, privileged, wait="", bind_password_file=secret) as mirror:
        await mirror.until(lambda: "is refused" in mirror.mirror.status().message)
