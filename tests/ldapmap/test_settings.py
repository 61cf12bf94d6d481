"""Rules over several keys, and what every key has to tell the operator."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ldapmap.settings import Attributes, DirectorySettings, NameRules

LDAP: dict[str, Any] = {"kind": "ldap", "servers": ("ldaps://ldap.example",), "base": "dc=example"}
LDIF: dict[str, Any] = {"kind": "ldif", "file": Path("users.ldif")}


def faults(settings: Attributes | NameRules | DirectorySettings) -> dict[str, str]:
    return dict(settings.faults())


@pytest.mark.parametrize("given", [LDAP, LDIF, {**LDAP, "bind_dn": "cn=x", "bind_password_file": Path("x")}])
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
        ({"filter": "x"}, "filter", "parenthesis"),
    ],
)
def test_a_fault_of_ldif_settings_names_its_key_and_remedy(changes: dict[str, Any], key: str, text: str) -> None:
    found = faults(DirectorySettings(**{**LDIF, **changes}))
    assert list(found) == [key]
    assert text in found[key]


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"domain": "add"}, "default_domain", "name the domain"),
        ({"default_domain": "example.org"}, "default_domain", "has no effect"),
        ({"domain": "add", "default_domain": "a.example", "domains": ("b.example",)}, "domains", "nobody could log in"),
        ({"detail_separator": "--"}, "detail_separator", "one character"),
        ({"detail_separator": "@"}, "detail_separator", "other than @"),
    ],
)
def test_a_fault_of_the_name_rules_names_its_key_and_remedy(changes: dict[str, Any], key: str, text: str) -> None:
    found = faults(NameRules(**changes))
    assert list(found) == [key]
    assert text in found[key]


def test_sensible_name_rules_have_no_faults() -> None:
    assert (
        faults(NameRules(domain="add", default_domain="A.example", domains=("a.example",), detail_separator="")) == {}
    )


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"user": ""}, "user", "is empty"),
        ({"shard": ""}, "shard", "is empty"),
        ({"preferred": "a b"}, "preferred", "not an attribute name"),
        ({"login": "(uid=*)"}, "login", "not an attribute name"),
    ],
)
def test_a_fault_of_the_attributes_names_its_key_and_remedy(changes: dict[str, Any], key: str, text: str) -> None:
    found = faults(Attributes(**changes))
    assert list(found) == [key]
    assert text in found[key]


def test_attributes_may_be_numbers_and_have_options() -> None:
    assert faults(Attributes(user="2.5.4.3", login="mail;x-login")) == {}


@pytest.mark.parametrize("settings", [Attributes, NameRules, DirectorySettings])
def test_every_key_explains_itself(settings: type[Any]) -> None:
    for field in dataclasses.fields(settings):
        assert field.metadata["doc"].endswith((".", ":"))
        if "min" in field.metadata:
            assert field.metadata["min"] <= field.default <= field.metadata["max"]


@pytest.mark.parametrize("changes", [{"allow_cleartext": True}, {"starttls": True}, {"servers": ("ldap://localhost",)}])
def test_passwords_stay_on_this_machine_or_inside_tls_unless_the_operator_says_otherwise(
    changes: dict[str, Any],
) -> None:
    assert not faults(DirectorySettings(**{**LDAP, "servers": ("ldap://a",), **changes}))
