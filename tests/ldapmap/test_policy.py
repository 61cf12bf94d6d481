"""What entries say about who may log in: never more is allowed than they clearly say."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.errors import AccountDisabled, Misconfigured, PasswordExpired
from ldapmap.policy import PROTOCOLS, UNRESTRICTED, Policy, PolicyReader
from ldapmap.sections import Attributes, ProtocolValues, RuleSettings
from ldapmap.settings import DirectorySettings

DN = "uid=alice,dc=x"
NOW = 1_800_000_000.0
DEFAULT_SPELLINGS = ProtocolValues()
NETWORKS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(
    lambda address: f"{address}/{address.max_prefixlen}"
)
TIMES = st.floats(0, 1e18)
POLICIES = st.builds(
    Policy,
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.text(st.characters(codec="utf-8"), max_size=20),
    TIMES,
    TIMES,
    st.none() | st.lists(st.sampled_from(PROTOCOLS), unique=True).map(tuple),
    st.none() | st.lists(NETWORKS, max_size=3).map(tuple),
    st.booleans(),
)


def reader(*rules: RuleSettings, spellings: ProtocolValues = DEFAULT_SPELLINGS, **attributes: Any) -> PolicyReader:
    named = Attributes(**attributes)
    return PolicyReader(DirectorySettings(kind="ldap", rule=rules, attributes=named, protocols=spellings))


def status(*values: bytes, rule: RuleSettings) -> Policy:
    return reader(rule).read(DN, {rule.attribute.lower().encode(): values})


def refused(policy: Policy, protocol: str = "imap", address: str = "192.0.2.1", now: float = NOW) -> str:
    refusal = policy.refusal(protocol, address, now)
    return type(refusal).__name__ if refusal is not None else ""


# --- what is kept of it ---


@given(POLICIES)
def test_a_policy_that_was_written_is_read_as_it_was(policy: Policy) -> None:
    text = policy.write()
    assert Policy.read(text) == policy
    assert text.isascii()
    assert text.isprintable()


def test_no_restriction_is_no_text() -> None:
    assert UNRESTRICTED.write() == ""
    assert Policy.read("") is UNRESTRICTED
    assert refused(UNRESTRICTED) == ""


# --- who may log in ---


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        (Policy(disabled="left"), "AccountDisabled"),
        (Policy(closes=NOW), "AccountDisabled"),
        (Policy(closes=NOW + 1), ""),
        (Policy(protocols=("pop3",)), "AccountDisabled"),
        (Policy(protocols=()), "AccountDisabled"),
        (Policy(protocols=("pop3", "imap")), ""),
        (Policy(expired="must change"), "PasswordExpired"),
        (Policy(expires=NOW), "PasswordExpired"),
        (Policy(expires=NOW + 1), ""),
        (Policy(disabled="left", expired="must change"), "AccountDisabled"),
        (Policy(passthrough=True), ""),
    ],
)
def test_a_policy_refuses_who_may_not_log_in_now(policy: Policy, kind: str) -> None:
    assert refused(policy) == kind


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("192.0.2.7", ("192.0.2.0/24",), True),
        ("192.0.3.7", ("192.0.2.0/24",), False),
        ("2001:db8::7", ("192.0.2.0/24", "2001:db8::/32"), True),
        ("::ffff:192.0.2.7", ("192.0.2.0/24",), True),
        ("::ffff:192.0.3.7", ("192.0.2.0/24",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("192.0.2.7", (), False),
        ("", ("0.0.0.0/0", "::/0"), False),
        ("unix", ("0.0.0.0/0", "::/0"), False),
    ],
)
def test_a_user_may_come_from_the_networks_named_only(address: str, networks: tuple[str, ...], allowed: bool) -> None:
    assert refused(Policy(networks=networks), address=address) == ("" if allowed else "AccountDisabled")


def test_a_refusal_says_why() -> None:
    disabled = Policy(disabled="left us").refusal("imap", "::1", NOW)
    assert isinstance(disabled, AccountDisabled)
    assert disabled.reason == "the entry is disabled: left us"
    expired = Policy(expires=1.0).refusal("imap", "::1", NOW)
    assert isinstance(expired, PasswordExpired)
    assert expired.reason == "the entry says so: the time of the password is over"


# --- rules ---


DISABLED = RuleSettings(attribute="accountStatus", values=("disabled", "Pending  deletion"))
NOT_ACTIVE = RuleSettings(attribute="accountStatus", not_values=("active",))
UAC = RuleSettings(attribute="userAccountControl", bits=2)
MUST_CHANGE = RuleSettings(attribute="pwdLastSet", values=("0",), means="expired")


@pytest.mark.parametrize(
    ("rule", "values", "disabled"),
    [
        (DISABLED, [], ""),
        (DISABLED, [b"active"], ""),
        (DISABLED, [b" DISABLED "], "accountStatus is DISABLED"),
        (DISABLED, [b"pending deletion"], "accountStatus is pending deletion"),
        (DISABLED, ["ｄｉｓａｂｌｅｄ".encode()], "accountStatus is ｄｉｓａｂｌｅｄ"),
        (DISABLED, [b"active", b"disabled"], "accountStatus is disabled"),
        (NOT_ACTIVE, [], ""),
        (NOT_ACTIVE, [b"Active"], ""),
        (NOT_ACTIVE, [b"active", b"locked"], "accountStatus is locked"),
        (NOT_ACTIVE, [b" "], "accountStatus is"),
        (UAC, [b"512"], ""),
        (UAC, [b"514"], "userAccountControl is 514"),
        (UAC, [b"-1"], "userAccountControl is -1"),
        (MUST_CHANGE, [b"0"], ""),
    ],
)
def test_a_rule_disables_whom_it_describes(rule: RuleSettings, values: list[bytes], disabled: str) -> None:
    assert status(*values, rule=rule).disabled == disabled


def test_a_rule_may_mean_that_the_password_has_expired() -> None:
    assert status(b"0", rule=MUST_CHANGE).expired == "pwdLastSet is 0"
    assert status(b"133000000000000000", rule=MUST_CHANGE) == UNRESTRICTED


@pytest.mark.parametrize("value", [b"", b"abc", b"0x2", b"5_1_4", "５１４".encode(), b"9" * 5000, b"1.0", b"+2"])
@pytest.mark.parametrize(
    "rule",
    [UAC, *(RuleSettings(attribute="t", until=form) for form in ("days", "seconds", "filetime", "generalized"))],
)
def test_a_value_that_is_no_number_or_time_is_never_taken_for_permission(rule: RuleSettings, value: bytes) -> None:
    with pytest.raises(Misconfigured):
        status(value, rule=rule)


@pytest.mark.parametrize("value", [b"\xff", b"dis\0abled"])
def test_a_value_that_is_no_text_is_never_taken_for_permission(value: bytes) -> None:
    with pytest.raises(Misconfigured):
        status(value, rule=DISABLED)


Form = Literal["generalized", "days", "seconds", "filetime"]


@pytest.mark.parametrize(
    ("form", "value", "closes"),
    [
        ("generalized", b"20261231235959Z", 1798761599),
        ("generalized", b"202612312359Z", 1798761540),
        ("generalized", b"2026123123Z", 1798758000),
        ("generalized", b"20261231235960Z", 1798761599),
        ("generalized", b"20261231235959.987Z", 1798761599),
        ("generalized", b"20270101015959+0200", 1798761599),
        ("generalized", b"20261231175959,5-06", 1798761599),
        ("generalized", b"000001010000Z", 1),
        ("generalized", b"19691231235959Z", 1),
        ("days", b"20000", 20_000 * 86_400),
        ("days", b"0", 1),
        ("days", b"-1", 0),
        ("seconds", b"1798761599", 1798761599),
        ("seconds", b"0", 1),
        ("seconds", b"-1", 0),
        ("filetime", b"0", 0),
        ("filetime", b"9223372036854775807", 0),
        ("filetime", b"134432351990000000", 1798761599),
        ("filetime", b"1", 1),
    ],
)
def test_a_time_is_read_in_seconds_since_1970(form: Form, value: bytes, closes: float) -> None:
    rule = RuleSettings(attribute="until", until=form)
    assert status(value, rule=rule) == Policy(closes=closes)
    expiring = RuleSettings(attribute="until", until=form, means="expired")
    assert status(value, rule=expiring) == Policy(expires=closes)


@pytest.mark.parametrize(
    "value",
    ["2026", "20261231235959", "20261231235961Z", "20260229000000Z", "20261331000000Z", "20261231245959Z", "never"],
)
def test_what_is_no_generalized_time_is_refused(value: str) -> None:
    with pytest.raises(Misconfigured, match="no time of the form 'generalized'"):
        status(value.encode(), rule=RuleSettings(attribute="t", until="generalized"))


@given(st.datetimes().map(lambda time: time.replace(microsecond=0)))
def test_every_time_in_utc_is_read_as_it_was_written(time: Any) -> None:
    seconds = (time - time.__class__(1970, 1, 1)).total_seconds()
    value = f"{time.year:04}{time:%m%d%H%M%S}Z".encode()
    assert status(value, rule=RuleSettings(attribute="t", until="generalized")).closes == max(seconds, 1)


@given(st.sampled_from(["days", "seconds", "filetime"]), st.integers(-(2**63), 2**63 - 1))
def test_every_number_is_a_time_or_never(form: Form, number: int) -> None:
    closes = status(str(number).encode(), rule=RuleSettings(attribute="t", until=form)).closes
    assert closes == 0 or closes >= 1


@given(st.sampled_from(["generalized", "days", "seconds", "filetime"]), st.binary(max_size=30))
def test_any_value_is_a_time_or_misconfigured(form: Form, value: bytes) -> None:
    try:
        status(value, rule=RuleSettings(attribute="t", until=form))
    except Misconfigured:
        return


def test_of_several_times_the_earliest_counts() -> None:
    rule = RuleSettings(attribute="t", until="seconds")
    assert status(b"300", b"-1", b"200", rule=rule).closes == 200
    assert reader(rule, RuleSettings(attribute="u", until="days")).read(DN, {b"t": [b"300"], b"u": [b"0"]}).closes == 1


# --- reasons ---


def test_the_operators_reason_is_told_instead() -> None:
    with_reason = reader(DISABLED, disabled_reason="description")
    values = {b"accountstatus": [b"disabled"], b"description": [b"left in\r\nMay", b"\xff"]}
    assert with_reason.read(DN, values).disabled == "left in  May; �"
    assert with_reason.read(DN, {**values, b"description": [b" ", b""]}).disabled == "accountStatus is disabled"
    assert with_reason.read(DN, {**values, b"accountstatus": [b"active"]}) == UNRESTRICTED


def test_a_reason_is_short_enough_for_a_line() -> None:
    assert len(status(b"x" * 5000, rule=NOT_ACTIVE).disabled) == 200


# --- protocols and networks ---


@pytest.mark.parametrize(
    ("values", "protocols"),
    [
        ([], ()),
        ([b"smtp", b"\xff"], ()),
        ([b"IMAP ", b"smtp"], ("imap",)),
        ([b"sieve", b"pop3s", b"imap4"], ("imap", "pop3", "managesieve")),
    ],
)
def test_the_protocols_of_an_entry_are_those_it_names(values: list[bytes], protocols: tuple[str, ...]) -> None:
    assert reader(protocols="service").read(DN, {b"service": values}).protocols == protocols


def test_one_value_may_allow_several_protocols() -> None:
    spellings = ProtocolValues(imap=("Mail",), pop3=("mail", "pop"), managesieve=())
    policy = reader(spellings=spellings, protocols="service").read(DN, {b"service": [b"MAIL"]})
    assert policy.protocols == ("imap", "pop3")


@pytest.mark.parametrize(
    ("values", "networks"),
    [
        ([], None),
        ([b"192.0.2.1/24"], ("192.0.2.0/24",)),
        (
            [b"192.0.2.1, 2001:db8::/32", b"198.51.100.0/255.255.255.0"],
            ("192.0.2.1/32", "2001:db8::/32", "198.51.100.0/24"),
        ),
    ],
)
def test_the_networks_of_an_entry_are_those_it_names(values: list[bytes], networks: tuple[str, ...] | None) -> None:
    assert reader(networks="nets").read(DN, {b"nets": values}).networks == networks


@pytest.mark.parametrize("value", [b"", b" ; ", b"local", b"192.0.2.0/33", b"10.1", b"192.0.2.1 nonsense", b"\xff"])
def test_networks_that_cannot_be_understood_are_never_all_networks(value: bytes) -> None:
    with pytest.raises(Misconfigured):
        reader(networks="nets").read(DN, {b"nets": [value]})


def test_only_the_attributes_of_the_settings_are_wanted() -> None:
    assert reader().wanted == ()
    assert reader().read(DN, {b"accountstatus": [b"disabled"]}) is UNRESTRICTED
    everything = reader(DISABLED, UAC, protocols="p", networks="n", disabled_reason="r")
    assert everything.wanted == ("p", "n", "r", "accountStatus", "userAccountControl")
