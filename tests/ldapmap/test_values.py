"""Values as text: printable, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.errors import Misconfigured, NoRoute
from ldapmap.values import single, text_of

DN = "uid=alice,dc=x"


@given(st.binary(max_size=40))
def test_any_value_is_printable_text_without_outer_blanks_or_refused(value: bytes) -> None:
    try:
        text = text_of(b"mailhost", DN, value)
    except Misconfigured:
        return
    assert text.isprintable()
    assert text == text.strip() == value.decode().strip()


@pytest.mark.parametrize(("value", "problem"), [(b"\xff", "is not UTF-8"), (b"a\nb", "has a control character")])
def test_a_refusal_names_the_attribute_and_the_entry_and_not_the_value(value: bytes, problem: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        text_of(b"mailhost", DN, value)
    assert refusal.value.reason == f"mailhost of '{DN}' {problem}"


@pytest.mark.parametrize(("values", "text"), [({}, ""), ({b"a": []}, ""), ({b"a": [b" x "]}, "x"), ({b"a": [b""]}, "")])
def test_an_attribute_has_one_value_or_none(values: dict[bytes, list[bytes]], text: str) -> None:
    assert single(b"a", DN, values) == text


def test_several_values_are_no_route_even_if_they_are_the_same() -> None:
    with pytest.raises(NoRoute, match="has 2 values of a, of which one is allowed"):
        single(b"a", DN, {b"a": [b"x", b"X"]})
