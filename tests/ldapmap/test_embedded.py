"""The directory in a file: the same rules as on a server."""

from pathlib import Path
from typing import Any

import pytest

from ldapmap import Attributes, NameRules
from ldapmap.embedded import LdifDirectory
from ldapmap.entries import Entry
from ldapmap.errors import (
    AmbiguousUser,
    EmptyPassword,
    InvalidName,
    Misconfigured,
    NoRoute,
    UnknownUser,
    WrongPassword,
)
from ldapmap.filters import FilterError
from ldapmap.ldif import LdifFault
from ldapmap.settings import DirectorySettings

USERS = """\
dn: ou=people,dc=example
objectClass: organizationalUnit

dn: uid=Alice,ou=people,dc=example
uid: Alice
mail: alice@example.org
mailHost: s1
userPassword: {SSHA}broken
userPassword: secret
status: active

dn: uid=bob,ou=people,dc=example
uid: bob
uid: robert
mailHost: s2
userPassword: {CRYPT}x
userPassword: other

dn: uid=carol,ou=old,ou=people,dc=example
uid: carol
mailHost: s1
userPassword: {PBKDF2-SHA256}10$c2FsdA$eHh4eA

dn: uid=dave,ou=people,dc=example
uid: dave

dn: uid=twin,ou=people,dc=example
uid: twin
mailHost: s1

dn: cn=twin,ou=people,dc=example
uid: TWIN
mailHost: s2

dn: uid=erin, OU = Other, dc=example
uid: erin
mailHost: s1
userPassword: {CRYPT}x
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users.ldif"
    path.write_text(USERS)
    return path


def opened(file: Path, **changes: Any) -> LdifDirectory:
    return LdifDirectory(DirectorySettings(kind="ldif", file=file, **changes))


async def test_a_user_is_found_and_the_password_verified(file: Path) -> None:
    directory = opened(file)
    await directory.start()
    assert directory.healthy
    entry = await directory.find("ALICE")
    assert entry == Entry("alice", "uid=Alice,ou=people,dc=example", "s1")
    await directory.verify(entry, b"secret")
    await directory.close()


async def test_a_wrong_password_is_refused(file: Path) -> None:
    directory = opened(file)
    for name in ("carol", "dave"):
        entry = Entry(name, (directory._by_name[name][0]).dn, "s1")
        with pytest.raises(WrongPassword):
            await directory.verify(entry, b"wrong")


async def test_a_scheme_we_do_not_know_is_our_trouble_and_not_a_wrong_password(file: Path) -> None:
    directory = opened(file)
    bob = await directory.find("robert")
    assert bob.user == "bob"
    await directory.verify(bob, b"other")
    with pytest.raises(Misconfigured, match=r"\{CRYPT\}"):
        await directory.verify(bob, b"wrong")


async def test_an_empty_password_is_refused(file: Path) -> None:
    directory = opened(file)
    with pytest.raises(EmptyPassword):
        await directory.verify(await directory.find("alice"), b"")


async def test_nobody_and_two_are_refused(file: Path) -> None:
    directory = opened(file)
    with pytest.raises(UnknownUser):
        await directory.find("mallory")
    with pytest.raises(AmbiguousUser, match="same name"):
        await directory.find("twin")
    with pytest.raises(InvalidName):
        await directory.find("a\0b")
    with pytest.raises(UnknownUser):
        await directory.verify(Entry("x", "uid=x", "s1"), b"x")


async def test_an_entry_without_a_shard_has_no_route(file: Path) -> None:
    with pytest.raises(NoRoute):
        await opened(file).find("dave")


async def test_compatibility_forms_are_the_same_user(file: Path) -> None:
    assert (await opened(file).find("ａｌｉｃｅ")).user == "alice"


async def test_attributes_and_name_rules_are_configurable(file: Path) -> None:
    attributes = Attributes(user="mail", shard="mailHost", login="uid")
    names = NameRules(domain="add", default_domain="example.org")
    entry = await opened(file, attributes=attributes, names=names).find("alice")
    assert (entry.user, entry.login) == ("alice@example.org", "Alice")


@pytest.mark.parametrize(
    ("changes", "users"),
    [
        ({}, ["Alice", "bob", "carol", "dave", "twin", "cn=twin", "erin"]),
        ({"base": "ou=People, dc=Example"}, ["Alice", "bob", "carol", "dave", "twin", "cn=twin"]),
        ({"base": "ou=people,dc=example", "scope": "one"}, ["Alice", "bob", "dave", "twin", "cn=twin"]),
        ({"base": "ou=other,dc=example"}, ["erin"]),
        ({"base": "uid=erin,ou=other,dc=example"}, ["erin"]),
        ({"base": "dc=elsewhere"}, []),
        ({"filter": "(status=ACTIVE)"}, ["Alice"]),
    ],
)
def test_base_scope_and_filter_decide_who_is_a_user(file: Path, changes: dict[str, Any], users: list[str]) -> None:
    records = opened(file, **changes).records
    assert [record.dn.split(",")[0].removeprefix("uid=") for record in records] == users


def test_a_dn_occurs_once(file: Path) -> None:
    file.write_text(USERS + "\ndn: UID=alice, ou=people, dc=example\nuid: other\n")
    with pytest.raises(LdifFault, match="line 40: the dn occurs twice"):
        opened(file)


def test_a_filter_that_only_a_server_can_evaluate_is_refused_at_once(file: Path) -> None:
    with pytest.raises(FilterError):
        opened(file, filter="(n>=5)")


def test_without_a_file_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a file"):
        LdifDirectory(DirectorySettings(kind="ldif"))
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "missing")


def test_a_lookup_is_described(file: Path) -> None:
    described = opened(file).describe("Alice")
    assert described[0] == ("typed name", "Alice")
    assert described[-1] == ("file", str(file))
