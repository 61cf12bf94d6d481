"""The directory in a file: the same rules as on a server."""

from pathlib import Path
from typing import Any

import pytest

from ldapmap import Attributes, NameRules
from ldapmap.client.filters import FilterError
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
from ldapmap.ldif import LdifFault
from ldapmap.policy import Policy
from ldapmap.sections import DomainSettings, RuleSettings
from ldapmap.settings import DirectorySettings
from ldapmap.status import DirectoryStatus

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
        entry = Entry(name, directory._by_name[0, name][0].dn, "s1")
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


# --- aliases, domains, restrictions ---

MORE = """\
dn: uid=alice,ou=b,dc=example
uid: alice
mail: Alice@B.example
mail: bob@example.org
mailHost: s2
status: closed
userPassword: other

dn: cn=Carol,dc=example
mail: carol@example.org
mailHost: s2

dn: uid=strasse,ou=odd,dc=example
uid: Straße  Eins
mailHost: s1
"""


async def test_a_user_is_found_by_every_alias_and_has_one_name(file: Path) -> None:
    directory = opened(file, attributes=Attributes(aliases=("mail",)))
    for typed in ("alice", "ALICE@example.org"):
        assert (await directory.find(typed)).user == "alice"


async def test_a_name_of_one_that_is_an_alias_of_another_is_nobodys(file: Path) -> None:
    file.write_text(USERS + "\n" + MORE.replace("bob@example.org", "BOB"))
    directory = opened(file, attributes=Attributes(aliases=("mail",)))
    with pytest.raises(AmbiguousUser):
        await directory.find("bob")
    assert (await directory.find("robert")).user == "bob"


async def test_an_entry_found_by_an_alias_but_without_a_name_is_our_trouble_as_on_a_server(file: Path) -> None:
    file.write_text(MORE)
    with pytest.raises(Misconfigured, match="has no uid"):
        await opened(file, attributes=Attributes(aliases=("mail",))).find("carol@example.org")
    with pytest.raises(UnknownUser):
        await opened(file).find("carol@example.org")


async def test_names_are_compared_as_a_server_does(file: Path) -> None:
    file.write_text(MORE)
    for typed in ("STRASSE EINS", "straße   eins", "ｓｔｒａｓｓｅ eins"):
        assert (await opened(file).find(typed)).user == "straße  eins"


async def test_a_domain_may_have_users_of_its_own(file: Path) -> None:
    file.write_text(USERS + "\n" + MORE)
    people = "ou=people,dc=example"
    tree = DomainSettings(names=("b.example", "b.test"), base="ou=b,dc=example", local_part=True)
    elsewhere = DomainSettings(names=("c.example",), auth="passthrough")
    directory = opened(file, base=people, domain=(tree, elsewhere), attributes=Attributes(aliases=("mail",)))
    assert (await directory.find("alice")).dn == f"uid=Alice,{people}"
    for typed in ("alice@b.example", "ALICE@B.test"):
        found = await directory.find(typed)
        assert (found.user, found.dn, found.policy) == ("alice@b.example", "uid=alice,ou=b,dc=example", "")
    await directory.verify(found, b"other")
    with pytest.raises(UnknownUser):
        await directory.find("bob@b.example")  # ou=people has one, but this domain's users are elsewhere
    with pytest.raises(UnknownUser):
        await directory.find("alice@c.example")
    described = dict(directory.describe("alice@b.test"))
    assert (described["base"], described["search key"]) == ("ou=b,dc=example", "alice")


async def test_a_domain_may_be_judged_elsewhere(file: Path) -> None:
    table = DomainSettings(names=("example.org",), auth="passthrough")
    directory = opened(file, domain=(table,), attributes=Attributes(aliases=("mail",)))
    assert Policy.read((await directory.find("alice@example.org")).policy) == Policy(passthrough=True)
    assert (await directory.find("alice")).policy == ""


async def test_what_restricts_a_user_is_read_from_the_file(file: Path) -> None:
    file.write_text(MORE)
    rule = RuleSettings(attribute="status", not_values=("active",))
    entry = await opened(file, rule=(rule,), attributes=Attributes(networks="network")).find("alice")
    assert Policy.read(entry.policy) == Policy(disabled="status is closed")
    file.write_text(MORE + "network: nowhere\n")
    with pytest.raises(Misconfigured):
        await opened(file, attributes=Attributes(networks="network")).find("strasse eins")


async def test_a_file_is_as_fresh_as_it_gets_and_has_no_servers(file: Path) -> None:
    directory = opened(file)
    assert await directory.find("alice", fresh=True) == await directory.find("alice")
    assert directory.status() == DirectoryStatus(servers=())
