"""Filters: the same bytes as ldap3's, evaluated as RFC 4511 section 4.5.1.7 says, and refused when malformed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.utils.conv import escape_bytes, escape_filter_chars

from ldapmap.client.filters import FilterError, escape, parse_filter
from tests.ldapmap import oracle

ENTRY = {b"uid": [b"Alice"], b"mail": [b"a@x", "é@x".encode()], b"raw": [b"\xff"]}


@pytest.mark.parametrize(
    "text",
    [
        "(uid=alice)",
        "(objectClass=*)",
        "(&(a=b)(|(c=d)(e=f))(!(g=h)))",
        "(cn=a*)",
        "(cn=*a)",
        "(cn=*a*)",
        "(cn=a*b*c*d)",
        "(n>=5)",
        "(n<=5)",
        "(n~=five)",
        "(2.5.4.3=x)",
        "(userCertificate;binary=\\00\\ff)",
        "(cn=\\2a\\28\\29\\5c)",
        "(memberOf:1.2.840.113556.1.4.1941:=cn=g,dc=x)",
        "(cn:caseExactMatch:=Fred)",
        "(ou:dn:=x)",
        "(cn=é)",
    ],
)
def test_a_filter_is_compiled_as_ldap3_does(text: str) -> None:
    assert parse_filter(text).encode() == oracle.filter_bytes(text)


def test_groups_may_be_empty() -> None:
    assert parse_filter("(&)").encode() == b"\xa0\x00"
    assert parse_filter("(&)").matches(ENTRY)
    assert not parse_filter("(|)").matches(ENTRY)


def test_an_extensible_match_may_name_only_a_rule() -> None:
    assert parse_filter("(:caseExactMatch:=x)").encode() == b"\xa9\x13\x81\x0ecaseExactMatch\x83\x01x"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "begins with a parenthesis"),
        ("uid=a", "begins with a parenthesis"),
        ("(uid=a", "not closed"),
        ("(&(uid=a)", "begins with a parenthesis"),
        ("(uid=a))", "follows the filter at character 8"),
        ("(uid=a)(b=c)", "follows"),
        ("(!(a=b)(c=d))", "exactly one"),
        ("(!)", "exactly one"),
        ("(uid)", "attribute=value"),
        ("(=x)", "attribute=value"),
        ("(:=x)", "attribute=value"),
        ("( uid=x)", "attribute name"),
        ("(uid =x)", "attribute name"),
        ("(a b:=x)", "attribute name"),
        ("(cn=**)", "asterisk"),
        ("(cn=a**b)", "asterisk"),
        ("(cn>=a*)", "asterisk"),
        ("(cn=\\zz)", "hexadecimal"),
        ("(cn=\\2)", "hexadecimal"),
        ("(" * 40, "parenthesis"),
        ("(!" * 40 + "(a=b)" + ")" * 40, "nested deeper than 32"),
    ],
)
def test_a_malformed_filter_is_refused_with_its_reason(text: str, problem: str) -> None:
    with pytest.raises(FilterError, match=problem):
        parse_filter(text)


@given(st.text(st.sampled_from("()&|!=*\\ab0:~<>é \0"), max_size=40))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    with contextlib.suppress(FilterError):
        parse_filter(text).encode()


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("(uid=ALICE)", True),
        ("(UID=alice)", True),
        ("(uid=bob)", False),
        ("(phone=1)", False),
        ("(mail=*)", True),
        ("(phone=*)", False),
        ("(objectClass=*)", True),
        ("(uid=al*)", True),
        ("(uid=*CE)", True),
        ("(uid=a*i*e)", True),
        ("(uid=*ec*)", False),
        ("(mail=É@x)", True),
        ("(raw=\\ff)", True),
        ("(&(uid=alice)(mail=a@x))", True),
        ("(&(uid=alice)(mail=b@x))", False),
        ("(|(uid=bob)(mail=a@x))", True),
        ("(!(uid=bob))", True),
    ],
)
def test_a_filter_is_evaluated_on_an_entry(text: str, matches: bool) -> None:
    assert parse_filter(text).matches(ENTRY) is matches


def test_what_only_a_server_can_compare_is_not_evaluated() -> None:
    with pytest.raises(FilterError, match="LDIF"):
        parse_filter("(n>=5)").matches(ENTRY)


@given(st.text(st.characters(codec="utf-8")))
def test_values_are_shown_as_ldap3_escapes_them_and_mean_the_same_when_read_back(value: str) -> None:
    assert escape(value) == escape_filter_chars(value)
    octets = escape_bytes(value.encode())  # ldap3 strips blanks around a value that is not escaped
    assert parse_filter(f"(cn={escape(value)})").encode() == oracle.filter_bytes(f"(cn={octets})")
