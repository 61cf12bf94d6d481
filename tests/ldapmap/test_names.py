"""Login names: one spelling for every user, and no doubtful character in it."""

import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.utils.conv import escape_bytes

from ldapmap.entries import EntryReader
from ldapmap.errors import InvalidName
from ldapmap.names import canonical, prepared, steps
from ldapmap.settings import Attributes, DirectorySettings, NameRules
from ldapmap.values import Values
from tests.integration import slapd as slapd_module
from tests.integration.slapd import Slapd

KEEP = NameRules()
OURS = NameRules(domains=("Example.org", "example.net"))
STRIP = NameRules(domain="strip")
ADD = NameRules(domain="add", default_domain="Example.org")
AS_TYPED = NameRules(lower_case=False, detail_separator="")
WINDOWS = NameRules(nt_domains=("Example", "OTHER"))


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
        ("EXAMPLE\\Alice", WINDOWS, "alice"),
        ("other\\alice@example.org", WINDOWS, "alice@example.org"),
        ("example\\a\\b", WINDOWS, "a\\b"),
        ("alice", WINDOWS, "alice"),
        ("EXAMPLE\\Alice", KEEP, "example\\alice"),
        ("İSTANBUL@İ.example", KEEP, "istanbul@i.example"),
        ("İ@İ.example", AS_TYPED, "İ@i.example"),
        ("alice", NameRules(domain="add", default_domain="E\u0301cole.example"), "alice@école.example"),
        ("alice@ÉCOLE.example", NameRules(domains=("e\u0301cole.Example",)), "alice@école.example"),
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
        ("THIRD\\alice", WINDOWS, "Windows domain"),
        ("EXAMPLE\\", WINDOWS, "Windows domain"),
        ("\\alice", WINDOWS, "Windows domain"),
        ("EXAMPLE\\ alice", WINDOWS, "blank"),
        ("alice @example.org", KEEP, "blank"),
        ("alice@ example.org", KEEP, "blank"),
        ("alice@example.org .", KEEP, "blank"),
        ("alice +lists", KEEP, "blank"),
        (" +lists", KEEP, "blank"),
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


@given(st.text(max_size=30), st.sampled_from([KEEP, OURS, STRIP, ADD, AS_TYPED, WINDOWS]))
def test_a_canonical_name_is_printable_and_composed_and_the_same_when_typed_again(typed: str, rules: NameRules) -> None:
    try:
        name = canonical(typed, rules)
    except InvalidName:
        return
    assert name.isprintable()
    assert name == name.strip(" ")
    assert all(part == part.strip(" ") for part in name.split("@"))
    assert unicodedata.is_normalized("NFC", name) or rules.lower_case  # lower-casing may decompose a few letters
    assert canonical(name, rules) in (name, unicodedata.normalize("NFC", name))
    assert [*steps(typed, rules)][-1][1] == name


PLAINLY = st.text(st.sampled_from("abz09._-+@A \\\n"), max_size=12)
RULES = st.builds(
    NameRules,
    lower_case=st.booleans(),
    domain=st.sampled_from(["keep", "strip", "add"]),
    default_domain=st.just("b.z"),
    domains=st.sampled_from([(), ("a.b", "b.z")]),
    nt_domains=st.sampled_from([(), ("a",)]),
    detail_separator=st.sampled_from(["+", "", "-", ".", "a", "@", "ab"]),
    max_length=st.sampled_from([1, 5, 255]),
)


@given(PLAINLY | st.from_regex(r"[a-z0-9._-]{1,8}(@[a-z0-9._-]{1,6})?", fullmatch=True), RULES)
def test_a_name_that_is_left_alone_at_once_is_what_the_steps_make_of_it(typed: str, rules: NameRules) -> None:
    def outcome(name: Callable[[], str]) -> tuple[str, str]:
        try:
            return "name", name()
        except InvalidName as refusal:
            return "refused", refusal.reason

    assert outcome(lambda: canonical(typed, rules)) == outcome(lambda: [*steps(typed, rules)][-1][1])


# --- names as they are compared ---

ODD = st.text(st.sampled_from("aAiIsSkK ßẞıſéÉσςΣǅǆﬁⅳｉＩ½ \u0301\u0307\u0323\u0345\u3099İÅ\u212b\u00a0"), max_size=8)
ANY = ODD | st.text(st.characters(codec="utf-8"), max_size=20)


@given(ANY)
def test_a_prepared_name_is_not_changed_by_preparing_it_again(name: str) -> None:
    assert prepared(prepared(name)) == prepared(name)


@given(ANY, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_names_that_differ_in_normal_form_and_blanks_are_prepared_alike(name: str, form: Literal["NFC"]) -> None:
    assert prepared(unicodedata.normalize(form, name)) == prepared(name)
    assert prepared(f"  {name.replace(' ', '   ')} ") == prepared(name)


@given(st.text(st.characters(max_codepoint=0x24F), max_size=20))
def test_names_that_differ_in_case_are_prepared_alike(name: str) -> None:
    name = name.replace("ı", "i")  # the capital of the dotless i is the capital of the other
    for other in (name.lower(), name.upper(), name.casefold(), name.swapcase()):
        assert prepared(other) == prepared(name)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("alice smith", ["Alice  SMITH", " alice smith ", "alice\u00a0smith", "ａｌｉｃｅ　smith"]),
        ("strasse", ["Straße", "STRASSE", "STRAẞE", "ſtraße"]),
        ("istanbul", ["İstanbul", "I\u0307stanbul", "i\u0307stanbul", "ISTANBUL"]),
        ("\u1ecb", ["İ\u0323", "I\u0323\u0307", "i\u0307\u0323"]),
        ("éric", ["E\u0301ric", "ÉRIC"]),
        ("οδοσ", ["ΟΔΟΣ", "οδος"]),
        ("fi", ["ﬁ", "FI"]),
    ],
)
def test_what_is_one_name_to_a_server_is_prepared_alike(name: str, others: list[str]) -> None:
    assert {prepared(other) for other in others} == {prepared(name)} == {name}


def test_different_letters_stay_different() -> None:
    names = ["zak", "żak", "jose", "josé", "i", "ı", "ï", "al ice", "alice", "ė", "e"]
    assert len({prepared(name) for name in names}) == len(names)


@given(ANY)
def test_a_name_is_compared_as_it_was_typed_after_the_rules_have_been_applied(typed: str) -> None:
    try:
        name = canonical(typed, AS_TYPED)
    except InvalidName:
        return
    assert prepared(name) == prepared(typed.removesuffix(".") if "@" in typed else typed)


# --- what a real server takes for one name ---

REASON = slapd_module.missing()
REAL_NAMES = [
    "alice", "Alice Smith", "al  ice", "ＡＬＩＣＥ", "ａｌ　ｉｃｅ", "Straße", "STRASSE", "STRAẞE", "İstanbul",
    "istanbul", "ıstanbul", "I\u0307stanbul", "i\u0307stanbul", "Éric", "e\u0301ric", "eric", "żak", "zak",
    "ΟΔΟΣ", "οδος", "οδοσ", "ﬁn", "fin", "Kelvin", "kelvin", "Å", "å", "A\u030a", "ⅳ", "iv", "ⓐ", "a", "Ǆ", "ǆ",
    "ǅ", "½", "1⁄2", "゛", "ｶﾞ", "ガ", "가", "가", "ᾳ", "αι", "ͅ", "𝐚", "\u0130\u0323x", "i\u0323x",
    "\u0130\u3099", "i\u3099", "a\u00a0b", "a b", "ſ", "s", "ŉ", "ʼn", "ǰ", "j\u030c", "x+y,z=\"#;<>\\", "*",
    "(a)", "\\2a",
]  # fmt: skip


def spellings(name: str) -> set[str]:
    """Ways to write a name that a server may take for the same."""
    written = {name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD"))}
    cased = {change(each) for each in written for change in (str.lower, str.upper, str.title, str.casefold)}
    spaced = {f"  {name}", f"{name}  ", name.replace(" ", "   ")}
    return written | cased | spaced


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    """A server with an entry for each of the names, which has it with capitals as an alias too."""
    with Slapd() as server:
        for number, name in enumerate(REAL_NAMES):
            values = {"uid": name, "o": [f"{name}@example.org", f"{name.upper()} II"]}
            server.add(f"cn={number},{server.people}", ["organizationalRole", "extensibleObject"], values)
        yield server


def found(server: Slapd, condition: str) -> dict[str, Values]:
    """The entries that the server finds: their names and values."""
    server.admin().search(server.people, condition, attributes=["uid", "o"])
    entries = [each for each in server.admin().response if each["type"] == "searchResEntry"]
    return {
        each["dn"]: {name.lower().encode(): values for name, values in each["raw_attributes"].items()}
        for each in entries
    }


@pytest.mark.integration
@pytest.mark.skipif(bool(REASON), reason=REASON)
@pytest.mark.parametrize("suffix", ["", "@example.org", " II"])
def test_whoever_a_server_finds_by_a_name_has_that_name_in_the_mirror(slapd: Slapd, suffix: str) -> None:
    reader = EntryReader(DirectorySettings(kind="ldap", attributes=Attributes(aliases=("o",))))
    hits = 0
    for typed in sorted({f"{each}{suffix}" for name in REAL_NAMES for each in spellings(name)}):
        key = escape_bytes(typed.encode())
        for dn, values in found(slapd, f"(|(uid={key})(o={key}))").items():
            hits += 1
            assert prepared(typed) in reader.names(values), (dn, typed)
    assert hits > 2 * len(REAL_NAMES)


@pytest.mark.integration
@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_whoever_has_a_name_in_the_mirror_is_found_by_it_on_a_server(slapd: Slapd) -> None:
    """But for the letters that only RFC 4518 folds: there the mirror finds more, and the password is still theirs."""
    folded_in_full = set("ßẞſςΣıİŉǰǅǄǆᾳͅ") | {"\u0307", "\u0323", "\u0345", "\u030c"}
    plain = [name for name in REAL_NAMES if not folded_in_full & set(name)]
    reader = EntryReader(DirectorySettings(kind="ldap"))
    entries = {dn: set(reader.names(values)) for dn, values in found(slapd, "(uid=*)").items()}
    odd = {f"cn={number},{slapd.people}" for number, name in enumerate(REAL_NAMES) if name not in plain}
    for name in plain:
        same = {dn for dn, names in entries.items() if prepared(name) in names}
        assert found(slapd, f"(uid={escape_bytes(name.encode())})").keys() >= same - odd, name
