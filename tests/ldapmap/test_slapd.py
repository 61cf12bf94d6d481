"""Logins against a real OpenLDAP, over every transport and through its failures."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from ldapmap import (
    AccountLocked,
    AmbiguousUser,
    Attributes,
    Directory,
    DirectorySettings,
    Misconfigured,
    NameRules,
    PasswordExpired,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
    open_directory,
)
from ldapmap.settings import CacheSettings
from tests.integration import slapd as slapd_module
from tests.integration.slapd import STRICT_POLICY, Slapd
from tls import backend_context

REASON = slapd_module.missing()
pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        server.add_user("alice", "secret", mailHost="s1", mail="alice@example.org")
        bob = server.add_user("bob", "pä ss", mailHost="mb1a.example.", employeeType="b2")
        server.replace(bob, uid=["bob", "robert"])
        server.add_user("we,i+rd", "x", mailHost="s1")
        server.add_user("twin1", "x", mail="twin@example.org")
        server.add_user("twin2", "x", mail="twin@example.org")
        yield server


@contextlib.asynccontextmanager
async def directory_on(*servers: Slapd, urls: tuple[str, ...] = (), **changes: Any) -> AsyncIterator[Directory]:
    first = servers[0]
    given: dict[str, Any] = {
        "servers": urls or tuple(server.ldap for server in servers),
        "base": first.people,
        "bind_dn": first.service_dn,
        "bind_password_file": first.password_file,
        "server_retry": 0.1,
        **changes,
    }
    directory = open_directory(DirectorySettings(kind="ldap", **given), backend_context(first.ca_file, True))
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


@pytest.mark.parametrize(("scheme", "starttls"), [("ldap", False), ("ldap", True), ("ldaps", False), ("ldapi", False)])
async def test_a_login_succeeds_over_every_transport(slapd: Slapd, scheme: str, starttls: bool) -> None:
    async with directory_on(slapd, urls=(getattr(slapd, scheme),), starttls=starttls) as directory:
        assert directory.healthy
        entry = await directory.find("ALICE")
        assert (entry.user, entry.dn, entry.shard) == ("alice", f"uid=alice,{slapd.people}", "s1")
        await directory.verify(entry, b"secret")
        with pytest.raises(WrongPassword):
            await directory.verify(entry, b"wrong")
        await directory.verify(entry, b"secret")


async def test_the_certificate_has_to_name_the_host_of_the_url(slapd: Slapd) -> None:
    other = slapd.ldaps.replace(slapd.address, "127.0.0.1")
    async with directory_on(slapd, urls=(other,)) as directory:
        assert not directory.healthy
        with pytest.raises(ServerFault):
            await directory.find("alice")


async def test_names_and_values_are_as_the_directory_has_them(slapd: Slapd) -> None:
    attributes = Attributes(preferred="employeeType")
    async with directory_on(slapd, attributes=attributes) as directory:
        bob = await directory.find("ROBERT")
        assert (bob.user, bob.shard, bob.preferred) == ("bob", "mb1a.example.", "b2")
        await directory.verify(bob, "pä ss".encode())


async def test_a_dn_with_special_characters_is_bound_as_the_search_returned_it(slapd: Slapd) -> None:
    async with directory_on(slapd) as directory:
        with pytest.raises(UnknownUser):
            await directory.find("we,i+rd")  # the default rules cut at the plus
    async with directory_on(slapd, names=NameRules(detail_separator="")) as directory:
        entry = await directory.find("we,i+rd")
        await directory.verify(entry, b"x")


@pytest.mark.parametrize("typed", ["*", "nobody", ")(uid=*", "alice)(uid=alice", "a*"])
async def test_nobody_is_found_by_a_pattern(slapd: Slapd, typed: str) -> None:
    async with directory_on(slapd) as directory:
        with pytest.raises(UnknownUser):
            await directory.find(typed)


async def test_two_entries_with_one_name_are_refused(slapd: Slapd) -> None:
    async with directory_on(slapd, attributes=Attributes(user="mail")) as directory:
        assert (await directory.find("alice@example.org")).user == "alice@example.org"
        with pytest.raises(AmbiguousUser):
            await directory.find("twin@example.org")


async def test_a_password_policy_is_understood(slapd: Slapd) -> None:
    dn = slapd.add_user("carol", "secret", mailHost="s1", pwdPolicySubentry=STRICT_POLICY)
    async with directory_on(slapd) as directory:
        carol = await directory.find("carol")
        await directory.verify(carol, b"secret")
        slapd.replace(dn, pwdReset="TRUE")
        with pytest.raises(PasswordExpired):
            await directory.verify(carol, b"secret")
        slapd.replace(dn, pwdReset=[])
        for _ in range(3):
            with pytest.raises(WrongPassword):
                await directory.verify(carol, b"wrong")
        with pytest.raises(AccountLocked):
            await directory.verify(carol, b"secret")


async def test_a_missing_base_is_a_misconfiguration_and_never_an_unknown_user(slapd: Slapd) -> None:
    async with directory_on(slapd, base="ou=nowhere,dc=example,dc=org") as directory:
        with pytest.raises(Misconfigured):
            await directory.find("alice")


async def test_many_logins_at_once_on_few_connections(slapd: Slapd) -> None:
    async def login(number: int) -> None:
        entry = await directory.find("alice")
        if number % 3:
            await directory.verify(entry, b"secret")
        else:
            with pytest.raises(WrongPassword):
                await directory.verify(entry, b"wrong")

    async with directory_on(slapd, bind_connections=3, search_outstanding=8) as directory:
        await asyncio.gather(*map(login, range(300)))


async def test_a_login_after_a_restart_of_the_only_server_succeeds() -> None:
    with Slapd() as server:
        server.add_user("alice", "secret", mailHost="s1")
        async with directory_on(server) as directory:
            await login_as_alice(directory)
            server.restart()
            await login_as_alice(directory)


async def test_a_server_that_is_killed_or_hangs_is_replaced_by_the_other_and_comes_back() -> None:
    with Slapd() as near, Slapd() as far:
        for server in (near, far):
            server.add_user("alice", "secret", mailHost="s1")
        near.replace(f"uid=alice,{near.people}", mailHost="near")
        nothing_stale = CacheSettings(stale_age=0.0)
        async with directory_on(near, far, operation_timeout=0.5, cache=nothing_stale) as directory:
            assert (await directory.find("alice")).shard == "near"
            near.kill()
            assert (await login_as_alice(directory)) == "s1"
            near.start()
            await until_near(directory)
            near.pause()
            assert (await login_as_alice(directory)) == "s1"
            near.resume()
            await until_near(directory)
            near.kill()
            far.kill()
            for attempt in (directory.find("alice"), login_as_alice(directory)):
                with pytest.raises(Unavailable):
                    await attempt
            assert not directory.healthy


async def login_as_alice(directory: Directory) -> str:
    entry = await directory.find("alice")
    await directory.verify(entry, b"secret")
    return entry.shard


async def until_near(directory: Directory) -> None:
    async with asyncio.timeout(10):
        while (await directory.find("alice")).shard != "near":
            await asyncio.sleep(0)
