"""Where the users of a domain are searched, and who judges their passwords."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.domains import Domains, Place
from ldapmap.errors import InvalidName
from ldapmap.names import canonical
from ldapmap.sections import DomainSettings
from ldapmap.settings import DirectorySettings

TREE = DomainSettings(names=("B.example", "b.test"), base="ou=b,dc=x", local_part=True)
JUDGED_ELSEWHERE = DomainSettings(names=("c.example",), auth="passthrough")
SAME_TREE = DomainSettings(names=("d.example",), base="ou=d,dc=x", auth="bind")
ALSO_THERE = DomainSettings(names=("e.example",), base="ou=d,dc=x", auth="passthrough")


def domains(*tables: DomainSettings, **changes: Any) -> Domains:
    return Domains(DirectorySettings(kind="ldap", base="dc=x", domain=tables, **changes))


ALL = domains(TREE, JUDGED_ELSEWHERE, SAME_TREE, ALSO_THERE)


@pytest.mark.parametrize(
    ("name", "place", "key"),
    [
        ("alice", Place(0, "dc=x", False), "alice"),
        ("alice@a.example", Place(0, "dc=x", False), "alice@a.example"),
        ("alice@b.example", Place(1, "ou=b,dc=x", False, "@b.example"), "alice"),
        ("alice@b.test", Place(1, "ou=b,dc=x", False, "@b.example"), "alice"),
        ("alice@c.example", Place(0, "dc=x", True), "alice@c.example"),
        ("alice@d.example", Place(2, "ou=d,dc=x", False), "alice@d.example"),
        ("alice@e.example", Place(2, "ou=d,dc=x", True), "alice@e.example"),
        ("b.example", Place(0, "dc=x", False), "b.example"),
    ],
)
def test_a_domain_with_a_table_of_its_own_has_its_own_place(name: str, place: Place, key: str) -> None:
    assert ALL.place(name) == (place, key)


def test_bases_are_numbered_once_each() -> None:
    assert ALL.bases == ("dc=x", "ou=b,dc=x", "ou=d,dc=x")
    assert {place.number: place.base for place in ALL.places} == dict(enumerate(ALL.bases))
    assert ALL.places[0] == Place(0, "dc=x", False)


def test_without_tables_there_is_one_place() -> None:
    assert domains().places == (Place(0, "dc=x", False),)
    assert domains(auth="passthrough").place("a@b.example") == (Place(0, "dc=x", True), "a@b.example")


def test_a_table_may_judge_here_what_is_otherwise_judged_elsewhere() -> None:
    assert not domains(SAME_TREE, auth="passthrough").place("a@d.example")[0].passthrough
    assert domains(TREE, auth="passthrough").place("a@b.test")[0].passthrough


def test_a_domain_is_recognised_however_the_settings_spell_it() -> None:
    spelt = domains(DomainSettings(names=("E\u0301cole.example", "İ.example"), auth="passthrough"))
    for typed in ("a@école.example", "a@ÉCOLE.Example.", "a@i.example", "a@İ.example"):
        assert spelt.place(canonical(typed, DirectorySettings(kind="ldap").names))[0].passthrough, typed


@given(st.text(st.sampled_from("ab@.c exampltsdeß"), max_size=20))
def test_every_canonical_name_has_a_place_of_those_there_are(typed: str) -> None:
    try:
        name = canonical(typed, DirectorySettings(kind="ldap").names)
    except InvalidName:
        return
    place, key = ALL.place(name)
    assert place in ALL.places
    assert key == name or (place.suffix and name.partition("@")[0] == key)
    assert key
