"""The layouts in deploy/directory on real OpenLDAP servers with trees of that kind: who is found, allowed, refused."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ldapmap import (
    AccountDisabled,
    AmbiguousUser,
    Directory,
    DirectoryError,
    DirectorySettings,
    Entry,
    InvalidName,
    NoRoute,
    PasswordExpired,
    Policy,
    UnknownUser,
    WrongPassword,
    open_directory,
)
from ldapmap.settings import ShardEntrySettings
from tests.deploy.fragments import FOLDER, directory_settings

from . import slapd as slapd_module
from .slapd import BASE, PEOPLE, STANDARD_SCHEMAS, Slapd, ssha

REASON = slapd_module.missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

SCHEMAS = Path(__file__).parent / "slapd_schemas"
WITHOUT_MAIL_HOST = tuple(name for name in STANDARD_SCHEMAS if name != "misc.schema")
OWN_SCHEMA = FOLDER.parent / "schema" / "vestibule.schema"

ANYWHERE = "198.51.100.7"


def read_layout(name: str, server: Slapd, folder: Path) -> DirectorySettings:
    """The settings of a layout, asking `server` for each user; everything but the servers is as it stands there."""
    settings = directory_settings((FOLDER / f"{name}.toml").read_text(), folder)
    return dataclasses.replace(
        settings,
        servers=(server.ldap,),
        starttls=False,
        bind_dn=server.service_dn,
        bind_password_file=server.password_file,
        mirror=False,
        shards=ShardEntrySettings(),
    )


@contextlib.asynccontextmanager
async def layout(name: str, server: Slapd, folder: Path) -> AsyncIterator[Directory]:
    """The directory of a layout, started."""
    directory = open_directory(read_layout(name, server, folder), None)
    await directory.start()
    try:
        yield directory
    finally:
        await directory.close()


def refusal(entry: Entry, protocol: str = "imap", address: str = ANYWHERE) -> DirectoryError | None:
    """Why a user may not log in; None: nothing speaks against it."""
    return Policy.read(entry.policy).refusal(protocol, address, time.time())


def passes_through(entry: Entry) -> bool:
    return Policy.read(entry.policy).passthrough


async def is_refused(directory: Directory, name: str) -> bool:
    return isinstance(refusal(await directory.find(name)), AccountDisabled)


def add_units(server: Slapd, *dns: str) -> None:
    """Add the entries that hold others; the kind follows from the first attribute of the DN."""
    classes = {"ou": ["organizationalUnit"], "o": ["organization"]}
    for dn in dns:
        kind = dn.partition("=")[0]
        if kind == "dc":
            server.add(dn, ["dcObject", "organization"], {"o": "Example"})
        else:
            server.add(dn, classes[kind], {})


def add_person(server: Slapd, dn: str, classes: Sequence[str], **attributes: str | Sequence[str]) -> None:
    """Add somebody with the password "secret"."""
    values: dict[str, Any] = {"cn": "Somebody", "sn": "Somebody", "userPassword": ssha("secret"), **attributes}
    server.add(dn, ["inetOrgPerson", *classes], values)


@contextlib.contextmanager
def running(*schemas: Path | str, suffixes: Sequence[str] = ()) -> Iterator[Slapd]:
    with Slapd(schemas=schemas, suffixes=suffixes) as server:
        yield server


async def test_inetlocalmailrecipient(tmp_path: Path) -> None:
    with running(*STANDARD_SCHEMAS) as server:
        alice = {"mail": "alice@example.org", "mailLocalAddress": ["a.lice@example.org", "al@example.org"]}
        server.add_user("alice", "secret", mailHost="mb1a.example.org", **alice)
        add_person(server, f"cn=nomail,{PEOPLE}", [], uid="nomail")
        server.add_user("nowhere", "secret")
        server.add_user("twin", "secret", mailHost="s1", mail="alice2@example.org")
        server.add_user("other", "secret", mailHost="s1", mailLocalAddress="alice2@example.org")
        async with layout("inetlocalmailrecipient", server, tmp_path) as directory:
            for typed in ("alice", "ALICE", "alice@example.org", "alice+lists@Example.ORG", "a.lice@example.org"):
                entry = await directory.find(typed)
                assert (entry.user, entry.shard, entry.login) == ("alice", "mb1a.example.org", ""), typed
                assert refusal(entry) is None
            await directory.verify(entry, b"secret")
            with pytest.raises(WrongPassword):
                await directory.verify(entry, b"wrong")
            for typed, error in (
                ("nomail", UnknownUser),
                ("nowhere", NoRoute),
                ("alice2@example.org", AmbiguousUser),
                ("alice@other.example", InvalidName),
            ):
                with pytest.raises(error):
                    await directory.find(typed)


async def test_perdition(tmp_path: Path) -> None:
    mailbox = f"ou=mailbox,{BASE}"
    with running(*WITHOUT_MAIL_HOST, SCHEMAS / "perdition.schema") as server:
        add_units(server, mailbox, f"ou=deep,{mailbox}")
        users = {
            "plain": {"mailhost": "mb1a.example.org"},
            "renamed": {"mailhost": "mb1a.example.org", "username": "box17", "port": "1143"},
            "whole": {"mailhost": "box18@mb1b.example.org:1143"},
            "ported": {"mailhost": "mb1b.example.org:110"},
            "six": {"mailhost": "[2001:db8::1]:143"},
            "domain": {"mailhost": "joe@example.org@mb1a.example.org"},
            "both": {"mailhost": "box19@mb1a.example.org", "username": "box20"},
        }
        for uid, values in users.items():
            server.add(f"uid={uid},{mailbox}", ["perditionPopmap"], dict(values))
        server.add(f"uid=deep,ou=deep,{mailbox}", ["perditionPopmap"], {"mailhost": "mb1a.example.org"})
        server.add(f"uid=nowhere,{mailbox}", ["perditionPopmap"], {"username": "x"})
        expected = {
            "plain": ("mb1a.example.org", ""),
            "renamed": ("mb1a.example.org", "box17"),
            "whole": ("mb1b.example.org", "box18"),
            "ported": ("mb1b.example.org", ""),
            "six": ("2001:db8::1", ""),
            "domain": ("mb1a.example.org", "joe@example.org"),
            "both": ("mb1a.example.org", "box20"),
        }
        async with layout("perdition", server, tmp_path) as directory:
            for uid, (host, login) in expected.items():
                entry = await directory.find(uid.upper())
                assert (entry.user, entry.shard, entry.login) == (uid, host, login)
                assert passes_through(entry)
                assert refusal(entry) is None
            with pytest.raises(UnknownUser):
                await directory.find("deep")
            with pytest.raises(NoRoute):
                await directory.find("nowhere")


async def test_zimbra(tmp_path: Path) -> None:
    org, net = "ou=people,dc=example,dc=org", "ou=people,dc=example,dc=net"
    states = ("active", "maintenance", "locked", "closed", "lockout", "pending")
    with running(*STANDARD_SCHEMAS, SCHEMAS / "zimbra.schema", suffixes=["dc=example,dc=net"]) as server:
        add_units(server, "dc=example,dc=net", net)

        def account(uid: str, base: str, status: str = "active", **values: str | Sequence[str]) -> None:
            domain = "example.org" if base == org else "example.net"
            given = {"zimbraMailDeliveryAddress": f"{uid}@{domain}", "zimbraMailHost": "mb1a.example.org", **values}
            add_person(server, f"uid={uid},{base}", ["zimbraAccount"], uid=uid, zimbraAccountStatus=status, **given)

        account("alice", org, zimbraMailAlias="a.lice@example.org", mail=["alice@example.org", "a.lice@example.org"])
        account("alice", net, zimbraMailHost="mb2.example.org")
        for status in states:
            account(f"is-{status}", org, status)
        server.add(f"uid=a.lice,{org}", ["zimbraAlias"], {})
        async with layout("zimbra", server, tmp_path) as directory:
            for typed in ("alice", "Alice@example.org", "a.lice", "a.lice@example.org"):
                entry = await directory.find(typed)
                assert (entry.user, entry.shard) == ("alice@example.org", "mb1a.example.org"), typed
                assert passes_through(entry)
                assert refusal(entry) is None
            other = await directory.find("alice@example.net")
            assert (other.user, other.shard) == ("alice@example.net", "mb2.example.org")
            assert passes_through(other)
            refused = {status for status in states if await is_refused(directory, f"is-{status}")}
            assert refused == {"maintenance", "locked", "closed", "pending"}
            with pytest.raises(UnknownUser):
                await directory.find("a.lice@example.net")


async def test_sun_messaging(tmp_path: Path) -> None:
    root = "o=usergroup"
    org, net = f"ou=People,o=example.org,{root}", f"ou=People,o=example.net,{root}"
    with running(*STANDARD_SCHEMAS, SCHEMAS / "sun.schema", suffixes=[root]) as server:
        add_units(server, root, f"o=example.org,{root}", f"o=example.net,{root}", org, net)

        def user(uid: str, base: str, **values: str | Sequence[str]) -> None:
            classes = ["inetUser", "inetMailUser", "inetLocalMailRecipient"]
            add_person(server, f"uid={uid},{base}", classes, uid=uid, **{"mailHost": "mb1a.example.org", **values})

        user("alice", org, mail="alice@example.org", mailAlternateAddress="a.lice@example.org")
        user("alice", net, mail="alice@example.net", mailHost="mb2.example.org")
        states = {
            "fine": {"inetUserStatus": "active", "mailUserStatus": "Active"},
            "full": {"mailUserStatus": "overquota"},
            "asleep": {"inetUserStatus": "inactive", "mailUserStatus": "active"},
            "deleted": {"inetUserStatus": "deleted"},
            "odd": {"inetUserStatus": "whatever"},
            "held": {"mailUserStatus": "hold"},
            "removed": {"mailUserStatus": "removed"},
            "disabled": {"mailUserStatus": "disabled"},
        }
        for uid, values in states.items():
            user(uid, org, **values)
        async with layout("sun-messaging", server, tmp_path) as directory:
            for typed in ("alice", "ALICE@example.org", "a.lice@example.org"):
                entry = await directory.find(typed)
                assert (entry.user, entry.shard) == ("alice", "mb1a.example.org"), typed
            await directory.verify(entry, b"secret")
            hosted = await directory.find("Alice@Example.net")
            assert (hosted.user, hosted.shard) == ("alice@example.net", "mb2.example.org")
            assert hosted.dn == f"uid=alice,{net}"
            await directory.verify(hosted, b"secret")
            refused = {uid for uid in states if await is_refused(directory, uid)}
            assert refused == {"asleep", "deleted", "odd", "held", "removed", "disabled"}
            with pytest.raises(InvalidName):
                await directory.find("alice@elsewhere.example")


async def test_iredmail(tmp_path: Path) -> None:
    domains, secured = f"o=domains,{BASE}", ["mail", "imapsecured", "pop3secured", "sievesecured"]
    with running(*WITHOUT_MAIL_HOST, SCHEMAS / "iredmail.schema") as server:
        add_units(server, domains)
        for domain in ("example.org", "one.example"):
            server.add(f"domainName={domain},{domains}", ["mailDomain"], {"accountStatus": "active"})
            add_units(server, f"ou=Users,domainName={domain},{domains}")

        def user(mail: str, **values: str | Sequence[str]) -> None:
            local, _, domain = mail.partition("@")
            given = {"accountStatus": "active", "mailHost": "s1", "enabledService": secured, "uid": local, **values}
            add_person(server, f"mail={mail},ou=Users,domainName={domain},{domains}", ["mailUser"], **given)

        user("alice@example.org", shadowAddress=["a@example.org", "alice@two.example"])
        user("alice@one.example", mailHost="s2")
        states: dict[str, dict[str, str | list[str]]] = {
            "closed": {"accountStatus": "disabled"},
            "domain": {"domainStatus": "disabled"},
            "over": {"expiredDate": "20200101000000Z"},
            "later": {"expiredDate": "20990101000000Z"},
        }
        for local, values in states.items():
            user(f"{local}@example.org", **values)
        user("clear@example.org", enabledService=["mail", "imap", "pop3"])
        user("imaponly@example.org", enabledService=["mail", "imaptls", "smtpsecured"])
        user("home@example.org", allowNets="192.0.2.0/24,2001:db8::/32, 203.0.113.9")
        user("nomail@example.org", enabledService=["imapsecured"])
        async with layout("iredmail", server, tmp_path) as directory:
            for typed in ("alice", "Alice@Example.ORG", "a@example.org", "alice@two.example"):
                entry = await directory.find(typed)
                assert (entry.user, entry.shard) == ("alice@example.org", "s1"), typed
                for protocol in ("imap", "pop3", "managesieve"):
                    assert refusal(entry, protocol) is None
            await directory.verify(entry, b"secret")
            assert (await directory.find("alice@one.example")).shard == "s2"
            assert {local for local in states if await is_refused(directory, local)} == {"closed", "domain", "over"}
            assert await is_refused(directory, "clear")
            imap_only = await directory.find("imaponly")
            assert refusal(imap_only, "imap") is None
            assert isinstance(refusal(imap_only, "pop3"), AccountDisabled)
            assert isinstance(refusal(imap_only, "managesieve"), AccountDisabled)
            home = await directory.find("home")
            for address in ("192.0.2.77", "2001:db8::7", "203.0.113.9"):
                assert refusal(home, address=address) is None
            assert isinstance(refusal(home), AccountDisabled)
            with pytest.raises(UnknownUser):
                await directory.find("nomail")


async def test_vestibule_schema(tmp_path: Path) -> None:
    with running(*STANDARD_SCHEMAS, OWN_SCHEMA) as server:

        def user(uid: str, **values: str | Sequence[str]) -> None:
            given = {"vestibuleShard": "s1", "vestibuleProtocols": ["imap", "pop3", "managesieve"], **values}
            add_person(server, f"uid={uid},{PEOPLE}", ["vestibuleMailRoute"], uid=uid, **given)

        user("alice", mail="alice@example.org", vestibulePreferredReplica="mb1b", vestibuleFlags="vip")
        user("closed", vestibuleFlags=["vip", "DISABLED"])
        user("stale", vestibuleFlags="must-change")
        user("reader", vestibuleProtocols="IMAP")
        user("mute")
        server.replace(f"uid=mute,{PEOPLE}", vestibuleProtocols=[])
        user("home", vestibuleNetworks=["192.0.2.0/24", "2001:db8::/32"])
        async with layout("vestibule-schema", server, tmp_path) as directory:
            for typed in ("alice", "alice@example.org"):
                entry = await directory.find(typed)
                assert (entry.user, entry.shard, entry.preferred) == ("alice", "s1", "mb1b")
                assert refusal(entry) is None
            await directory.verify(entry, b"secret")
            assert await is_refused(directory, "closed")
            assert isinstance(refusal(await directory.find("stale")), PasswordExpired)
            reader = await directory.find("reader")
            assert refusal(reader, "imap") is None
            assert isinstance(refusal(reader, "pop3"), AccountDisabled)
            assert await is_refused(directory, "mute")
            home = await directory.find("home")
            assert refusal(home, address="192.0.2.1") is None
            assert isinstance(refusal(home), AccountDisabled)


async def test_virtual_domains(tmp_path: Path) -> None:
    parts = {part: f"ou={part},ou=customers,{BASE}" for part in ("one", "two", "old")}
    with running(*STANDARD_SCHEMAS) as server:
        add_units(server, f"ou=customers,{BASE}", *parts.values())

        def user(base: str, mail: str, host: str, **values: str | Sequence[str]) -> None:
            add_person(server, f"mail={mail},{base}", ["inetLocalMailRecipient"], mail=mail, mailHost=host, **values)

        user(PEOPLE, "alice@example.org", "s1")
        user(parts["one"], "alice@one.example", "s2")
        user(parts["two"], "alice", "s3")
        user(parts["old"], "alice@old.example", "s4")
        expected = {
            "alice": ("alice@example.org", "s1", False),
            "alice@EXAMPLE.org": ("alice@example.org", "s1", False),
            "alice@one.example": ("alice@one.example", "s2", False),
            "Alice@two.example": ("alice@two.example", "s3", False),
            "alice@old.example": ("alice@old.example", "s4", True),
        }
        async with layout("virtual-domains", server, tmp_path) as directory:
            for typed, (name, shard, passed) in expected.items():
                entry = await directory.find(typed)
                assert (entry.user, entry.shard, passes_through(entry)) == (name, shard, passed), typed
                if not passed:
                    await directory.verify(entry, b"secret")
            with pytest.raises(InvalidName):
                await directory.find("alice@five.example")
            with pytest.raises(UnknownUser):
                await directory.find("bob@one.example")
