"""How a lookup is explained."""

from ldapmap.directory import describe_name, filter_text
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
    described = describe_name("Alice+a", SETTINGS)
    assert described[0] == ("typed name", "Alice+a")
    assert ("without detail", "alice") in described
    assert described[-4:] == [
        ("search key", "alice@example.org"),
        ("filter", "(&(status=active)(mail=alice@example.org))"),
        ("base", "dc=x"),
        ("scope", "subtree"),
    ]


def test_a_description_ends_where_the_name_is_refused() -> None:
    described = describe_name("a\nb", SETTINGS)
    assert described[-1] == ("refused", "the name has a control character or another that cannot be printed")


def test_the_filter_is_shown_with_its_value_escaped() -> None:
    plain = DirectorySettings(kind="ldap", servers=("ldap://x",), base="dc=x")
    assert filter_text("*)(uid=*", plain) == "(uid=\\2a\\29\\28uid=\\2a)"
