"""Users read from entries."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.domains import Place
from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import EmptyPassword, Misconfigured, NoRoute
from ldapmap.names import prepared
from ldapmap.policy import Policy
from ldapmap.settings import Attributes, DirectorySettings, NameRules, RuleSettings


def reader(rules: tuple[RuleSettings, ...] = (), lower_case: bool = True, **attributes: Any) -> EntryReader:
    names = NameRules(lower_case=lower_case)
    settings = DirectorySettings(kind="ldap", attributes=Attributes(**attributes), names=names, rule=rules)
    return EntryReader(settings)


PLAIN = reader()
FULL = reader(lower_case=False, user="mail", shard="mailHost", preferred="replica", login="uid")
PERDITION = reader(shard_form="address")
DN = "uid=alice,dc=x"


def test_an_entry_says_who_and_where() -> None:
    values = {b"uid": [b"Alice"], b"mailhost": [b" s1 "]}
    assert PLAIN.read(DN, values) == Entry("alice", DN, "s1")


def test_every_configured_attribute_is_read() -> None:
    values = {b"mail": [b"Alice@x"], b"mailhost": [b"s1"], b"replica": [b"b2"], b"uid": [b"al"]}
    assert FULL.read(DN, values) == Entry("Alice@x", DN, "s1", "b2", "al")


def test_what_is_not_there_is_empty() -> None:
    assert FULL.read(DN, {b"mail": [b"a@x"], b"mailhost": [b"s1"]}) == Entry("a@x", DN, "s1", "", "")


def test_attributes_are_asked_for_once_each() -> None:
    assert FULL.wanted == ("mail", "mailHost", "replica", "uid")
    assert reader(login="UID").wanted == ("UID", "mailHost")
    rules = (RuleSettings(attribute="status", values=("x",)), RuleSettings(attribute="STATUS", values=("y",)))
    everything = reader(rules, aliases=("mail", "UID"), networks="nets", password_changed="pwdChangedTime")
    assert everything.wanted == ("uid", "mailHost", "nets", "STATUS")
    assert everything.wanted_by_mirror == ("UID", "mailHost", "nets", "STATUS", "mail", "pwdChangedTime")


@pytest.mark.parametrize(
    ("values", "user"),
    [
        ([b"Alice"], "Alice"),  # what the directory holds, not what was typed
        ([b"zoe", b"bob", b"al"], "al"),
        ([b"al", b"zoe", b"bob"], "al"),
        ([b"", b"zoe"], "zoe"),
    ],
)
def test_an_entry_has_one_name_however_many_it_is_found_by(values: list[bytes], user: str) -> None:
    assert FULL.read(DN, {b"mail": values, b"mailhost": [b"s1"]}).user == user
    assert PLAIN.read(DN, {b"uid": values, b"mailhost": [b"s1"]}).user == user.lower()


@pytest.mark.parametrize("values", [{}, {b"mailhost": []}, {b"mailhost": [b""]}, {b"mailhost": [b"  "]}])
def test_an_entry_without_a_shard_has_no_route(values: dict[bytes, list[bytes]]) -> None:
    with pytest.raises(NoRoute, match="has no mailHost"):
        PLAIN.read(DN, {b"uid": [b"a"], **values})


def test_an_entry_with_two_shards_has_no_route() -> None:
    with pytest.raises(NoRoute, match="2 values of mailhost"):
        PLAIN.read(DN, {b"uid": [b"a"], b"mailhost": [b"s1", b"s2"]})


@pytest.mark.parametrize("values", [{}, {b"uid": []}, {b"uid": [b" "]}])
def test_an_entry_whose_name_may_not_be_read_is_our_mistake(values: dict[bytes, list[bytes]]) -> None:
    with pytest.raises(Misconfigured, match="has no uid that we may read"):
        PLAIN.read(DN, {b"mailhost": [b"s1"], **values})


@pytest.mark.parametrize("value", [b"s1\r\nx", b"s\0", b"s\x7f", "s\u202e".encode()])
@pytest.mark.parametrize("attribute", [b"mail", b"mailhost", b"replica", b"uid"])
def test_control_characters_from_the_directory_are_refused_like_typed_ones(attribute: bytes, value: bytes) -> None:
    values = {
        b"mail": [b"a@x"],
        b"mailhost": [b"s1"],
        b"replica": [b"b2"],
        b"uid": [b"a"],
        attribute: [b"x" + value + b"x"],
    }
    with pytest.raises(Misconfigured, match="control character"):
        FULL.read(DN, values)


def test_a_value_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"mailhost of .* is not UTF-8"):
        PLAIN.read(DN, {b"uid": [b"a"], b"mailhost": [b"\xff"]})


@pytest.mark.parametrize("password", [b"", b" ", b"\0", b"\0\0\0", b" \t\r\n"])
def test_an_empty_or_blank_password_is_refused(password: bytes) -> None:
    with pytest.raises(EmptyPassword):
        refuse_empty(Entry("a", DN, "s1"), password)


def test_a_password_may_contain_blanks() -> None:
    refuse_empty(Entry("a", DN, "s1"), b" x ")


def test_an_entry_without_a_dn_is_refused() -> None:
    with pytest.raises(Misconfigured, match="no DN"):
        refuse_empty(Entry("a", "", "s1"), b"secret")


# --- shards as addresses ---


@pytest.mark.parametrize(
    ("value", "shard", "login"),
    [
        (b"mb1", "mb1", ""),
        (b"mb1:143", "mb1", ""),
        (b"mb1.example:imap", "mb1.example", ""),
        (b"al@mb1", "mb1", "al"),
        (b"al@example.org@mb1:143", "mb1", "al@example.org"),
        (b" al @ mb1 :143 ", "mb1", "al"),
        (b"2001:db8::1", "2001:db8::1", ""),
        (b"[2001:db8::1]:993", "2001:db8::1", ""),
        (b"al@[2001:db8::1]", "2001:db8::1", "al"),
    ],
)
def test_a_shard_may_be_an_address_with_a_name_for_the_backend(value: bytes, shard: str, login: str) -> None:
    entry = PERDITION.read(DN, {b"uid": [b"alice"], b"mailhost": [value]})
    assert (entry.shard, entry.login) == (shard, login)


def test_the_login_attribute_counts_more_than_the_name_in_the_address() -> None:
    both = reader(shard_form="address", login="cn")
    assert both.read(DN, {b"uid": [b"a"], b"mailhost": [b"x@mb1"], b"cn": [b"y"]}).login == "y"


@pytest.mark.parametrize(
    "value",
    [b"@mb1", b" @mb1", b"al@", b"[::1", b"[::1]x", b"::1]", b"mb1:", b"mb1:1:2", b"[]", b":1", b"a:1:2", b"[ ]"],
)
def test_what_is_no_address_is_no_shard(value: bytes) -> None:
    with pytest.raises(Misconfigured, match="is not of the form"):
        PERDITION.read(DN, {b"uid": [b"alice"], b"mailhost": [value]})


@given(st.text(st.sampled_from("ab@:[]1. é"), max_size=12))
def test_any_text_is_an_address_with_a_host_or_refused(value: str) -> None:
    try:
        entry = PERDITION.read(DN, {b"uid": [b"alice"], b"mailhost": [value.encode()]})
    except Misconfigured:
        return
    assert entry.shard == entry.shard.strip() != ""
    assert entry.login == entry.login.strip()
    assert not set("[]@") & set(entry.shard)
    assert entry.shard in value


def test_an_entry_with_an_empty_address_has_no_route() -> None:
    with pytest.raises(NoRoute):
        PERDITION.read(DN, {b"uid": [b"alice"], b"mailhost": [b" "]})


# --- names ---

ALIASES = reader(aliases=("mail", "mailLocalAddress"))


def test_the_users_own_name_is_the_first_of_all_names() -> None:
    values = {
        b"uid": [b"Zoe", b"Bob", b"al"],
        b"mail": [b"Al@X", b"AL", b" ", b"\xff"],
        b"maillocaladdress": ["ＡＬ２＠x".encode()],
    }
    assert ALIASES.names(values) == ["al", "bob", "zoe", "al@x", "al2@x"]
    exact = reader(lower_case=False, aliases=("mail",))
    assert exact.names({b"uid": [b"al", b"Bob"]}) == ["bob", "al"]
    assert exact.read(DN, {b"uid": [b"al", b"Bob"], b"mailhost": [b"s1"]}).user == "Bob"


def test_an_entry_without_names_has_none() -> None:
    assert ALIASES.names({}) == []


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1), min_size=1),
    st.booleans(),
)
def test_the_first_name_is_that_of_the_entry_read(users: list[str], lower_case: bool) -> None:
    chosen = reader(lower_case=lower_case)
    values = {b"uid": [user.encode() for user in users], b"mailhost": [b"s1"]}
    try:
        user = chosen.read(DN, values).user
    except Misconfigured:  # no value has a character that is printed
        return
    names = chosen.names(values)
    assert names[0] == prepared(user)
    assert set(names) == {prepared(user) for user in users}


def test_the_time_of_the_password_is_what_the_directory_says() -> None:
    assert PLAIN.password_changed({b"pwdlastset": [b"5"]}) == b""
    told = reader(password_changed="pwdLastSet")
    assert told.password_changed({}) == b""
    assert told.password_changed({b"pwdlastset": [b"5"]}) == b"5"
    assert told.password_changed({b"pwdlastset": [b"5", b"4"]}) == told.password_changed({b"pwdlastset": [b"4", b"5"]})


# --- policies and places ---


def test_what_restricts_a_user_is_part_of_the_entry() -> None:
    restricted = reader((RuleSettings(attribute="status", values=("gone",)),), protocols="service")
    values = {b"uid": [b"alice"], b"mailhost": [b"s1"], b"service": [b"imap"]}
    assert Policy.read(restricted.read(DN, values).policy) == Policy(protocols=("imap",))
    gone = restricted.read(DN, {**values, b"status": [b"gone"]})
    assert Policy.read(gone.policy) == Policy(disabled="status is gone", protocols=("imap",))


def test_a_policy_that_cannot_be_understood_makes_no_entry() -> None:
    with pytest.raises(Misconfigured):
        reader(networks="nets").read(DN, {b"uid": [b"a"], b"mailhost": [b"s1"], b"nets": [b"local"]})


def test_an_entry_takes_on_what_its_place_adds() -> None:
    entry = Entry("alice", DN, "s1", policy=Policy(protocols=("imap",)).write())
    assert entry.at(Place(0, "dc=x", False)) is entry
    assert entry.at(Place(1, "ou=b", False, "@b.example")) == entry._replace(user="alice@b.example")
    passed = entry.at(Place(0, "dc=x", True))
    assert passed.user == "alice"
    assert Policy.read(passed.policy) == Policy(protocols=("imap",), passthrough=True)
    assert Policy.read(Entry("a", DN, "s1").at(Place(0, "dc=x", True)).policy) == Policy(passthrough=True)


_VALUE = st.sampled_from(
    [b"alice", b"ALICE", b"s1", b"a b", b"", b" x", b"\xc3\xa9", b"\xff", b"a\0b", b"mb1a.example"]
)
_VALUES = st.dictionaries(
    st.sampled_from([b"uid", b"mailhost", b"replica", b"mail"]), st.lists(_VALUE, max_size=2), max_size=4
)


@given(
    values=_VALUES,
    dn=st.sampled_from([b"uid=a,dc=x", b"uid=\xc3\xa9,dc=x", b"a\0b"]),
    lower_case=st.booleans(),
    preferred=st.sampled_from(["", "replica"]),
    aliases=st.sampled_from([(), ("mail",)]),
)
def test_the_quick_way_says_what_the_ordinary_way_says_or_nothing(
    values: dict[bytes, list[bytes]], dn: bytes, lower_case: bool, preferred: str, aliases: tuple[str, ...]
) -> None:
    made = reader(lower_case=lower_case, preferred=preferred, aliases=aliases)
    plain = made.plain(dn, values)
    if plain is not None:
        entry = made.read(dn.decode(), values)
        assert "\0".join(entry).encode() == plain[1]
        assert [name.encode() for name in made.names(values)] == [plain[0]]


@given(
    values=_VALUES,
    lower_case=st.booleans(),
    preferred=st.sampled_from(["", "replica"]),
    login=st.sampled_from(["", "mail"]),
    shard_form=st.sampled_from(["name", "address"]),
)
def test_a_plain_entry_is_read_as_every_other(
    values: dict[bytes, list[bytes]], lower_case: bool, preferred: str, login: str, shard_form: str
) -> None:
    made = reader(lower_case=lower_case, preferred=preferred, login=login, shard_form=shard_form, aliases=("mail",))

    def outcome(read: Callable[[str, dict[bytes, list[bytes]]], Entry]) -> Entry | tuple[type[Exception], str]:
        try:
            return read(DN, values)
        except (NoRoute, Misconfigured) as refusal:
            return type(refusal), refusal.reason

    assert outcome(made.read) == outcome(made._read)
    assert type(made.read(DN, {b"uid": [b"a"], b"mailhost": [b"s1"]})) is Entry


def test_the_quick_way_is_there_for_what_nearly_all_entries_are() -> None:
    plain = PLAIN.plain(b"uid=Alice,dc=x", {b"uid": [b"Alice"], b"mailhost": [b"s1"]})
    assert plain == (b"alice", b"alice\0uid=Alice,dc=x\0s1\0\0\0")
