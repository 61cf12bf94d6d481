"""How a lookup is explained."""

import pytest

from ldapmap.directory import describe_name, filter_text
from ldapmap.domains import Domains
from ldapmap.sections import DomainSettings
from ldapmap.settings import Attributes, DirectorySettings, NameRules

SETTINGS = DirectorySettings(
    kind="ldap",
    servers=("ldap://x",),
    base="dc=x",
    filter="(status=active)",
    attributes=Attributes(user="mail"),
    names=NameRules(domain="add", default_domain="example.org"),
)


def test_a_lookup_is_described_step_by_step() -> None:
    described = describe_name("Alice+a", SETTINGS, Domains(SETTINGS))
    assert described[0] == ("typed name", "Alice+a")
    assert ("without detail", "alice") in described
    assert described[-5:] == [
        ("search key", "alice@example.org"),
        ("filter", "(&(status=active)(mail=alice@example.org))"),
        ("base", "dc=x"),
        ("scope", "subtree"),
        ("password judged by", "a bind as the entry"),
    ]


def test_what_a_domain_changes_is_described() -> None:
    table = DomainSettings(names=("b.example",), base="ou=b", auth="passthrough", local_part=True)
    settings = DirectorySettings(kind="ldap", base="dc=x", domain=(table,))
    described = dict(describe_name("Alice@B.example", settings, Domains(settings)))
    assert described["search key"] == "alice"
    assert described["base"] == "ou=b"
    assert described["filter"] == "(uid=alice)"
    assert described["password judged by"] == "the backend alone (passthrough)"


def test_a_description_ends_where_the_name_is_refused() -> None:
    described = describe_name("a\nb", SETTINGS, Domains(SETTINGS))
    assert described[-1] == ("refused", "the name has a control character or another that cannot be printed")


def test_the_filter_is_shown_with_its_value_escaped() -> None:
    plain = DirectorySettings(kind="ldap", servers=("ldap://x",), base="dc=x")
    assert filter_text("*)(uid=*", plain) == "(uid=\\2a\\29\\28uid=\\2a)"


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ("(objectClass=*)", "(|(uid=a)(mail=a)(cn=a))"),
        ("(status=active)", "(&(status=active)(|(uid=a)(mail=a)(cn=a)))"),
    ],
)
def test_the_filter_names_every_attribute_that_is_searched(extra: str, text: str) -> None:
    attributes = Attributes(aliases=("mail", "cn"))
    assert filter_text("a", DirectorySettings(kind="ldap", filter=extra, attributes=attributes)) == text
