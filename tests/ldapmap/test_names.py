"""Login names: one spelling for every user, and no doubtful character in it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.errors import InvalidName
from ldapmap.names import canonical, steps
from ldapmap.settings import NameRules

KEEP = NameRules()
OURS = NameRules(domains=("Example.org", "example.net"))
STRIP = NameRules(domain="strip")
ADD = NameRules(domain="add", default_domain="Example.org")
AS_TYPED = NameRules(lower_case=False, detail_separator="")


@pytest.mark.parametrize(
    ("typed", "rules", "name"),
    [
        ("alice", KEEP, "alice"),
        ("ALICE", KEEP, "alice"),
        ("Alice@Example.ORG", KEEP, "alice@example.org"),
        ("Alice@Example.ORG", AS_TYPED, "Alice@example.org"),
        ("ALICE", AS_TYPED, "ALICE"),
        ("alice@example.org.", KEEP, "alice@example.org"),
        ("alice+lists", KEEP, "alice"),
        ("alice+a+b@example.org", KEEP, "alice@example.org"),
        ("alice+lists", AS_TYPED, "alice+lists"),
        ("alice@a+b.example", KEEP, "alice@a+b.example"),
        ("alice@example.org", OURS, "alice@example.org"),
        ("alice@EXAMPLE.net", OURS, "alice@example.net"),
        ("alice", OURS, "alice"),
        ("alice@example.org", STRIP, "alice"),
        ("alice", STRIP, "alice"),
        ("alice", ADD, "alice@example.org"),
        ("alice@other.example", ADD, "alice@other.example"),
        ("alice smith", KEEP, "alice smith"),
        ("e\u0301ric", KEEP, "éric"),
        ("ＡＬＩＣＥ", KEEP, "ａｌｉｃｅ"),
        ("user*master", KEEP, "user*master"),
        ("user%00", KEEP, "user%00"),
        ("a" * 255, KEEP, "a" * 255),
    ],
)
def test_a_typed_name_becomes_the_searched_one(typed: str, rules: NameRules, name: str) -> None:
    assert canonical(typed, rules) == name


@pytest.mark.parametrize(
    ("typed", "rules", "reason"),
    [
        ("", KEEP, "empty"),
        (" alice", KEEP, "blank"),
        ("alice ", KEEP, "blank"),
        ("a" * 256, KEEP, "longer than 255 bytes"),
        ("é" * 128, KEEP, "longer than 255 bytes"),
        ("\ud800" * 100, KEEP, "longer than 255 bytes"),
        ("al\0ice", KEEP, "control character"),
        ("alice\r\nb LOGIN", KEEP, "control character"),
        ("al\x7fice", KEEP, "control character"),
        ("al\u00adice", KEEP, "control character"),
        ("al\u202eice", KEEP, "control character"),
        ("al\u200bice", KEEP, "control character"),
        ("alice\u00a0", KEEP, "control character"),
        ("\ud800", KEEP, "control character"),
        ("@example.org", KEEP, "user@domain"),
        ("alice@", KEEP, "user@domain"),
        ("alice@.", KEEP, "user@domain"),
        ("alice@bob@example.org", KEEP, "user@domain"),
        ("+lists", KEEP, "nothing is left"),
        ("+lists@example.org", KEEP, "nothing is left"),
        ("alice@other.example", OURS, "not one of ours"),
    ],
)
def test_a_name_that_breaks_a_rule_is_refused_and_not_repeated(typed: str, rules: NameRules, reason: str) -> None:
    with pytest.raises(InvalidName, match=reason) as refusal:
        canonical(typed, rules)
    assert not typed or len(typed) < 3 or typed not in refusal.value.reason


@pytest.mark.parametrize("code", [*range(32), 127])
def test_no_ascii_control_character_passes_at_any_place(code: int) -> None:
    for typed in (chr(code) + "alice", "al" + chr(code) + "ice", "alice" + chr(code)):
        with pytest.raises(InvalidName):
            canonical(typed, KEEP)


def test_each_rule_is_a_step_with_the_name_after_it() -> None:
    shown = dict(steps("Alice+x", ADD))
    assert shown["printable characters"] == "Alice+x"
    assert shown["lower case"] == "alice+x"
    assert shown["without detail"] == "alice"
    assert shown["domain"] == "alice@example.org"


@given(st.text(max_size=30), st.sampled_from([KEEP, OURS, STRIP, ADD, AS_TYPED]))
def test_a_canonical_name_is_printable_and_composed_and_the_same_when_typed_again(typed: str, rules: NameRules) -> None:
    try:
        name = canonical(typed, rules)
    except InvalidName:
        return
    assert name.isprintable()
    assert unicodedata.is_normalized("NFC", name) or rules.lower_case  # lower-casing may decompose a few letters
    assert canonical(name, rules) in (name, unicodedata.normalize("NFC", name))
    assert [*steps(typed, rules)][-1][1] == name
