"""Logins against Active Directory, which is Samba here: through the live directory and through the whole proxy."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from ldapmap import (
    AccountDisabled,
    AccountLocked,
    Attributes,
    Directory,
    DirectoryError,
    DirectorySettings,
    EmptyPassword,
    Entry,
    InvalidName,
    NameRules,
    PasswordExpired,
    Policy,
    ServerFault,
    Unavailable,
    UnknownUser,
    WrongPassword,
    open_directory,
)
from tests.deploy.fragments import FOLDER, directory_settings
from tls import backend_context

from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to, enter, logged_in
from .samba import BASE, DISABLED, NT_DOMAIN, PEOPLE, REALM, Samba
from .site import ALICE, BOB, Site, User
from .vestibule import Vestibule
from .wait import wait_until

SHARD = "msDS-cloudExtensionAttribute1"
LONG_AGO = "130000000000000000"
FILTER = "(&(objectCategory=person)(objectClass=user))"
SERVICE_NAMES = (f"svc@{REALM}", rf"{NT_DOMAIN}\svc", f"CN=svc,{PEOPLE}")
REFUSED = {
    "disabled": AccountDisabled,
    "expired": AccountDisabled,
    "locked": AccountLocked,
    "must-change": PasswordExpired,
}


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        server.add_user(ALICE.name, ALICE.password, **{SHARD: "s1"})
        server.add_user(BOB.name, BOB.password, **{SHARD: "s2"})
        server.add_user("disabled", "secret", userAccountControl=str(DISABLED), **{SHARD: "s1"})
        server.add_user("expired", "secret", accountExpires=LONG_AGO, **{SHARD: "s1"})
        server.lock(server.add_user("locked", "secret", **{SHARD: "s1"}))
        must_change = server.add_user("must-change", "secret", userAccountControl="512", **{SHARD: "s1"})
        server.replace(must_change, pwdLastSet="0")
        yield server


def settings(server: Samba, **changes: Any) -> dict[str, Any]:
    """What an operator would write."""
    return {
        "kind": "ldap",
        "servers": (server.ldaps,),
        "base": PEOPLE,
        "filter": FILTER,
        "bind_dn": SERVICE_NAMES[0],
        "bind_password_file": server.password_file,
        "ca_file": server.ca_file,
        "attributes": Attributes(user="sAMAccountName", aliases=("userPrincipalName",), shard=SHARD),
        "names": NameRules(nt_domains=(NT_DOMAIN,)),
        "server_retry": 0.1,
        **changes,
    }


@contextlib.asynccontextmanager
async def directory_on(server: Samba, **changes: Any) -> AsyncIterator[Directory]:
    directory = open_directory(
        DirectorySettings(**settings(server, **changes)), backend_context(server.ca_file, verify=True)
    )
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


@pytest.mark.parametrize("identity", SERVICE_NAMES)
async def test_the_service_identity_may_be_any_of_its_names(samba: Samba, identity: str) -> None:
    async with directory_on(samba, bind_dn=identity) as directory:
        assert (await directory.find("alice")).shard == "s1"


@pytest.mark.parametrize("typed", ["alice", "ALICE", f"Alice@{REALM}", f"alice@{REALM.upper()}", rf"{NT_DOMAIN}\alice"])
async def test_a_user_is_one_user_by_any_of_his_names(samba: Samba, typed: str) -> None:
    async with directory_on(samba) as directory:
        entry = await directory.find(typed)
        assert entry[:3] == ("alice", f"CN=alice,{PEOPLE}", "s1")
        await directory.verify(entry, ALICE.password.encode())


async def test_names_nobody_has_and_domains_that_are_not_ours_are_refused(samba: Samba) -> None:
    async with directory_on(samba) as directory:
        for typed in ("nobody", f"nobody@{REALM}", "alice@other.test"):
            with pytest.raises(UnknownUser):
                await directory.find(typed)
        with pytest.raises(InvalidName):
            await directory.find(r"OTHER\alice")


@pytest.mark.parametrize("name", REFUSED)
async def test_an_account_that_is_closed_is_told_apart_from_a_wrong_password(samba: Samba, name: str) -> None:
    async with directory_on(samba) as directory:
        entry = await directory.find(name)
        with pytest.raises(DirectoryError) as refusal:
            await directory.verify(entry, b"secret")
        assert refusal.type is REFUSED[name]


@pytest.mark.parametrize("name", ["alice", "disabled", "expired", "must-change"])
async def test_a_wrong_password_is_just_that_whatever_else_is_the_matter(samba: Samba, name: str) -> None:
    async with directory_on(samba) as directory:
        entry = await directory.find(name)
        with pytest.raises(WrongPassword):
            await directory.verify(entry, b"wrong")
        with pytest.raises(EmptyPassword):
            await directory.verify(entry, b"")
        with pytest.raises(EmptyPassword):
            await directory.verify(entry, b"\0")


async def test_the_references_of_a_search_from_the_root_are_not_followed(samba: Samba) -> None:
    async with directory_on(samba, base=BASE) as directory:
        assert (await directory.find("alice")).shard == "s1"
        with pytest.raises(UnknownUser):
            await directory.find("nobody")


async def test_somebody_moved_to_another_unit_is_found_there(samba: Samba) -> None:
    dn = samba.add_user("wanderer", "secret", **{SHARD: "s1"})
    async with directory_on(samba, base=BASE) as directory:
        await directory.verify(await directory.find("wanderer"), b"secret")
        moved = samba.move(dn, "CN=wanderer", f"CN=Users,{BASE}")
        entry = await directory.find("wanderer")
        assert entry.dn == moved
        await directory.verify(entry, b"secret")


@pytest.mark.parametrize(("scheme", "starttls"), [("ldaps", False), ("ldap", True)])
async def test_tls_is_used_and_verified(samba: Samba, scheme: str, starttls: bool) -> None:
    url = getattr(samba, scheme)
    async with directory_on(samba, servers=(url,), starttls=starttls) as directory:
        await directory.verify(await directory.find("alice"), ALICE.password.encode())
    elsewhere = url.replace(samba.address, "localhost") if scheme == "ldaps" else ""
    if elsewhere:
        async with directory_on(samba, servers=(elsewhere,), starttls=starttls) as directory:
            with pytest.raises(ServerFault):
                await directory.find("alice")


async def test_a_search_that_no_identity_makes_is_no_unknown_user(samba: Samba) -> None:
    async with directory_on(samba, bind_dn="", bind_password_file=None) as directory:
        with pytest.raises(Unavailable):
            await directory.find("alice")


async def test_the_layout_finds_everybody_and_knows_who_is_closed(samba: Samba, tmp_path: Path) -> None:
    layout = directory_settings((FOLDER / "active-directory.toml").read_text(), tmp_path)
    changes = settings(samba)
    kept = {key: changes[key] for key in ("servers", "base", "bind_dn", "bind_password_file", "ca_file")}
    directory = open_directory(
        dataclasses.replace(layout, **kept, mirror=False), backend_context(samba.ca_file, verify=True)
    )
    await directory.start()
    try:
        for typed in ("alice", f"ALICE@{REALM}", rf"{NT_DOMAIN}\alice"):
            await directory.verify(await directory.find(typed), ALICE.password.encode())
        closed = {name for name in ("alice", *REFUSED) if _closed(await directory.find(name))}
        assert closed == {"disabled", "expired"}
    finally:
        await directory.close()


def _closed(entry: Entry) -> bool:
    return isinstance(Policy.read(entry.policy).refusal("imap", "192.0.2.1", time.time()), AccountDisabled)


# --- the whole proxy ---


def tables(samba: Samba) -> dict[str, Any]:
    """The same as `settings`, for the configuration file."""
    changes = {
        "attributes": {"user": "sAMAccountName", "aliases": ["userPrincipalName"], "shard": SHARD},
        "names": {"nt_domains": [NT_DOMAIN]},
        "servers": [samba.ldaps],
    }
    return settings(samba, **changes, connect_timeout=1.0, operation_timeout=1.0)


@pytest.fixture(scope="module")
def daemon(site: Site, samba: Samba) -> Iterator[Vestibule]:
    with site.vestibule({"directory": tables(samba)}, workers=1) as running:
        yield running


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_people_log_in_by_any_of_their_names(site: Site, daemon: Vestibule, protocol: str) -> None:
    for name in ("alice", f"alice@{REALM}", rf"{NT_DOMAIN}\alice"):
        answer = answer_to(daemon, site, User(name, ALICE.password), protocol)
        assert answer.startswith(ACCEPTED[protocol]), (name, answer)
    with enter(daemon, site, protocol) as session:
        assert session.plain("bob", BOB.password).startswith(ACCEPTED[protocol])


def test_all_names_are_one_user_in_the_log(site: Site, daemon: Vestibule, samba: Samba) -> None:
    user = site.user()
    samba.add_user(user.name, user.password, **{SHARD: "s1"})
    logged_in(daemon, site, User(rf"{NT_DOMAIN.lower()}\{user.name.upper()}", user.password)).close()
    assert daemon.session(user=user.name)["backend"] == "mb1"


def test_closed_accounts_and_wrong_passwords_sound_alike_and_are_told_apart_in_the_log(
    site: Site, daemon: Vestibule
) -> None:
    for name in ("disabled", "expired", "locked"):
        assert answer_to(daemon, site, User(name, "secret")).startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert answer_to(daemon, site, User("alice", "wrong")).startswith(b"a NO [AUTHENTICATIONFAILED]")
    assert answer_to(daemon, site, User("must-change", "secret")).startswith(b"a NO [EXPIRED]")
    daemon.wait_for_log("Active Directory: account disabled")
    daemon.wait_for_log("Active Directory: account expired")
    daemon.wait_for_log("Active Directory: account locked")
    daemon.wait_for_log("Active Directory: password must be changed")


def test_while_the_controller_is_away_users_are_asked_to_come_back(site: Site, daemon: Vestibule, samba: Samba) -> None:
    samba.stop()
    try:
        assert answer_to(daemon, site, ALICE).startswith(UNAVAILABLE["imap"])
    finally:
        samba.start()
    wait_until(lambda: answer_to(daemon, site, ALICE).startswith(b"a OK"), "logins to work again")


def test_with_a_mirror_a_user_who_is_moved_goes_to_the_new_place(site: Site, samba: Samba) -> None:
    user = site.user()
    dn = samba.add_user(user.name, user.password, **{SHARD: "s1"})
    follow = {"method": "usn", "poll": 0.05}
    with site.vestibule({"directory": {**tables(samba), "mirror": True, "follow": follow}}, workers=1) as daemon:
        logged_in(daemon, site, user).close()
        assert daemon.session(user=user.name)["backend"] == "mb1"
        samba.replace(dn, **{SHARD: "s2"})

        def moved() -> bool:
            logged_in(daemon, site, user).close()
            return any(line.get("backend") == "mb2" for line in daemon.log_lines() if line.get("user") == user.name)

        wait_until(moved, "the user to be sent to the new place")
        assert daemon.metrics()['vestibule_directory_answers_total{source="mirror"}'] > 0
