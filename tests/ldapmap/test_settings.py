"""Rules over several keys, and what every key has to tell the operator."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ldapmap.sections import (
    DomainSettings,
    FollowSettings,
    NameRules,
    RememberSettings,
    ServerSettings,
    ShardEntrySettings,
)
from ldapmap.settings import DirectorySettings

LDAP: dict[str, Any] = {"kind": "ldap", "servers": ("ldaps://ldap.example",), "base": "dc=example"}
LDIF: dict[str, Any] = {"kind": "ldif", "file": Path("users.ldif")}


def faults(settings: DirectorySettings) -> dict[str, str]:
    return dict(settings.faults())


TREE = DomainSettings(names=("a.example", "b.example"), base="ou=a", local_part=True)
PASSED = DomainSettings(names=("c.example",), auth="passthrough")
SERVER = ServerSettings(url="ldaps://a")
REMEMBER = RememberSettings(enabled=True)
SHARDS = ShardEntrySettings(base="ou=shards")


def trees(count: int) -> tuple[DomainSettings, ...]:
    return tuple(DomainSettings(names=(f"d{number}.example",), base=f"ou={number}") for number in range(count))


@pytest.mark.parametrize(
    "given",
    [
        LDAP,
        LDIF,
        {**LDAP, "bind_dn": "cn=x", "bind_password_file": Path("x")},
        {**LDAP, "servers": (), "server": (SERVER,)},
        {**LDAP, "domain": (TREE, PASSED)},
        {**LDIF, "domain": (TREE, PASSED)},
        {**LDAP, "domain": trees(199)},
        {**LDAP, "mirror": True, "remember": REMEMBER, "shards": SHARDS},
        {**LDAP, "mirror": True, "follow": FollowSettings(servers=("ldaps://b",))},
    ],
)
def test_sensible_settings_have_no_faults(given: dict[str, Any]) -> None:
    assert faults(DirectorySettings(**given)) == {}


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"servers": ()}, "servers", "name at least one"),
        ({"servers": ("ldap://a",)}, "servers[0]", "allow_cleartext = true"),
        ({"servers": ("ldaps://a", "nonsense")}, "servers[1]", "'nonsense': only scheme"),
        ({"starttls": True}, "servers[0]", "starttls works only with ldap://"),
        ({"base": ""}, "base", "is empty"),
        ({"bind_dn": "cn=x"}, "bind_password_file", "belong together"),
        ({"bind_password_file": Path("x")}, "bind_password_file", "belong together"),
        ({"ca_file": Path("ca"), "tls_verify": False}, "ca_file", "no effect with tls_verify"),
        ({"file": Path("x")}, "file", 'no effect with kind = "ldap"'),
        ({"filter": "(&"}, "filter", "parenthesis"),
        ({"server": (SERVER,)}, "server", "keep one"),
        ({"servers": (), "server": (ServerSettings(url="ldap://a"),)}, "server[0].url", "in clear"),
        ({"follow": FollowSettings(servers=("ldaps://a", "ldap://b"))}, "follow.servers[1]", "in clear"),
        ({"remember": REMEMBER}, "remember.enabled", "needs mirror = true"),
        ({"shards": SHARDS}, "shards.base", "needs mirror = true"),
        ({"domain": (PASSED, PASSED)}, "domain[1].names", "in another"),
        ({"domain": (PASSED,), "names": NameRules(domains=("a.example",))}, "domain[0].names", "nobody could log in"),
        ({"domain": (PASSED,), "names": NameRules(domain="strip")}, "domain", 'names.domain = "strip"'),
        ({"domain": (TREE,), "base": "ou=a"}, "domain[0].base", "other names are searched"),
        (
            {"domain": (TREE, DomainSettings(names=("e.example",), base="ou=a"))},
            "domain[0].base",
            "put the domains into one table",
        ),
        ({"domain": trees(200)}, "domain", "more than 200 different bases"),
    ],
)
def test_a_fault_of_ldap_settings_names_its_key_and_remedy(changes: dict[str, Any], key: str, text: str) -> None:
    found = faults(DirectorySettings(**{**LDAP, **changes}))
    assert list(found) == [key]
    assert text in found[key]


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"file": None}, "file", "is missing"),
        ({"servers": ("ldap://a",)}, "servers", 'no effect with kind = "ldif"'),
        ({"server": (SERVER,)}, "server", 'no effect with kind = "ldif"'),
        ({"mirror": True}, "mirror", 'no effect with kind = "ldif"'),
        ({"remember": REMEMBER}, "remember.enabled", 'no effect with kind = "ldif"'),
        ({"shards": SHARDS}, "shards.base", 'no effect with kind = "ldif"'),
        ({"domain": (PASSED, PASSED)}, "domain[1].names", "in another"),
        ({"filter": "x"}, "filter", "parenthesis"),
    ],
)
def test_a_fault_of_ldif_settings_names_its_key_and_remedy(changes: dict[str, Any], key: str, text: str) -> None:
    found = faults(DirectorySettings(**{**LDIF, **changes}))
    assert list(found) == [key]
    assert text in found[key]


def test_every_key_explains_itself() -> None:
    for field in dataclasses.fields(DirectorySettings):
        assert field.metadata["doc"].endswith((".", ":"))
        if "min" in field.metadata:
            assert field.metadata["min"] <= field.default <= field.metadata["max"]


@pytest.mark.parametrize("changes", [{"allow_cleartext": True}, {"starttls": True}, {"servers": ("ldap://localhost",)}])
def test_passwords_stay_on_this_machine_or_inside_tls_unless_the_operator_says_otherwise(
    changes: dict[str, Any],
) -> None:
    assert not faults(DirectorySettings(**{**LDAP, "servers": ("ldap://a",), **changes}))


def test_servers_have_priorities_and_weights_however_they_are_written() -> None:
    plain = DirectorySettings(kind="ldap", servers=("ldaps://a", "ldaps://b"))
    assert plain.ordered_servers == (ServerSettings(url="ldaps://a"), ServerSettings(url="ldaps://b", priority=2))
    tables = (ServerSettings(url="ldaps://b", priority=7, weight=3), ServerSettings(url="ldaps://a"))
    assert DirectorySettings(kind="ldap", server=tables).ordered_servers == tables


def test_a_server_that_its_own_table_refuses_is_not_told_twice() -> None:
    tables = (ServerSettings(url="nonsense"),)
    assert faults(DirectorySettings(**{**LDAP, "servers": (), "server": tables})) == {}
    assert dict(tables[0].faults()).keys() == {"url"}
