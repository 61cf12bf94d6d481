"""The tables of `[directory]`: what every key tells the operator, and what each table refuses."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.client.address import Address
from ldapmap.sections import (
    Attributes,
    CacheSettings,
    DomainSettings,
    FollowSettings,
    NameRules,
    ProtocolValues,
    RememberSettings,
    RuleSettings,
    ServerSettings,
    ShardEntrySettings,
    filter_faults,
    lower,
    lowered,
    read_address,
)

TABLES = [
    Attributes,
    CacheSettings,
    DomainSettings,
    FollowSettings,
    NameRules,
    ProtocolValues,
    RememberSettings,
    RuleSettings,
    ServerSettings,
    ShardEntrySettings,
]


def faults(table: Any) -> dict[str, str]:
    return dict(table.faults())


@pytest.mark.parametrize("table", TABLES)
def test_every_key_explains_itself(table: type[Any]) -> None:
    for field in dataclasses.fields(table):
        assert field.metadata["doc"].endswith(".")
        if "min" in field.metadata:
            assert field.metadata["min"] <= field.default <= field.metadata["max"]


@pytest.mark.parametrize(
    "table",
    [
        Attributes(),
        Attributes(user="2.5.4.3", login="mail;x-login", aliases=("mail", "mailLocalAddress")),
        NameRules(),
        NameRules(domain="add", default_domain="A.example", domains=("a.example",), detail_separator=""),
        NameRules(domain="add", default_domain="E\u0301cole.example", domains=("école.example",)),
        DomainSettings(names=("a.example",), base="ou=a", local_part=True),
        DomainSettings(names=("a.example",), auth="bind"),
        RuleSettings(attribute="status", values=("x",)),
        RuleSettings(attribute="status", not_values=("x",)),
        RuleSettings(attribute="status", bits=2),
        RuleSettings(attribute="status", until="days"),
        FollowSettings(),
        FollowSettings(method="usn", trust=5.0),
        ServerSettings(url="ldaps://a"),
        ShardEntrySettings(),
    ],
)
def test_sensible_tables_have_no_faults(table: Any) -> None:
    assert faults(table) == {}


@pytest.mark.parametrize(
    ("table", "key", "text"),
    [
        (Attributes(user=""), "user", "is empty"),
        (Attributes(shard=""), "shard", "is empty"),
        (Attributes(preferred="a b"), "preferred", "not an attribute name"),
        (Attributes(login="(uid=*)"), "login", "not an attribute name"),
        (Attributes(protocols="é"), "protocols", "not an attribute name"),
        (Attributes(networks="-"), "networks", "not an attribute name"),
        (Attributes(disabled_reason="1"), "disabled_reason", "not an attribute name"),
        (Attributes(password_changed="a="), "password_changed", "not an attribute name"),
        (Attributes(aliases=("mail", "")), "aliases[1]", "not an attribute name"),
        (NameRules(domain="add"), "default_domain", "name the domain"),
        (NameRules(default_domain="example.org"), "default_domain", "has no effect"),
        (NameRules(domain="add", default_domain="a.example", domains=("b.example",)), "domains", "nobody could log in"),
        (NameRules(domains=("a.example", "@b.example")), "domains[1]", "is no domain"),
        (NameRules(domain="add", default_domain="a.example."), "default_domain[0]", "is no domain"),
        (NameRules(detail_separator="--"), "detail_separator", "one character"),
        (NameRules(detail_separator="@"), "detail_separator", "other than @"),
        (DomainSettings(names=("a.example",)), "base", "has no effect"),
        (DomainSettings(names=("a.example",), local_part=True), "local_part", "a base of its own"),
        (DomainSettings(names=(" a.example",), base="ou=a"), "names[0]", "is no domain"),
        (DomainSettings(names=("",), base="ou=a"), "names[0]", "is no domain"),
        (RuleSettings(attribute="status"), "values", "exactly one"),
        (RuleSettings(attribute="status", bits=1, until="days"), "values", "exactly one"),
        (RuleSettings(attribute="", bits=1), "attribute", "not an attribute name"),
        (FollowSettings(servers=("ldaps://a", "x")), "servers[1]", "'x'"),
        (FollowSettings(heartbeat=60.0), "trust", "never be trusted"),
        (ServerSettings(url="http://x"), "url", "'http://x'"),
        (ShardEntrySettings(filter="x"), "filter", "parenthesis"),
        (ShardEntrySettings(name=""), "name", "not an attribute name"),
        (ShardEntrySettings(backends="a b"), "backends", "not an attribute name"),
    ],
)
def test_a_fault_names_its_key_and_remedy(table: Any, key: str, text: str) -> None:
    found = faults(table)
    assert list(found) == [key]
    assert text in found[key]


def test_an_address_or_a_filter_is_read_or_its_fault_told() -> None:
    assert isinstance(read_address("ldaps://a"), Address)
    assert "'x'" in str(read_address("x"))
    assert list(filter_faults("filter", "(a=b)")) == []
    assert [key for key, _ in filter_faults("filter", "a=b")] == ["filter"]


@given(st.text())
def test_lower_case_is_the_same_when_taken_again(text: str) -> None:
    assert lower(lower(text)) == lower(text)


def test_domains_are_compared_in_lower_case_and_composed() -> None:
    assert lowered(("A.Example", "E\u0301COLE")) == ["a.example", "école"]


def test_the_lower_case_of_one_letter_is_one_letter() -> None:
    assert lower("İSTANBUL") == "istanbul"
