"""Whom a worker asks about and whom it does not let in, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.wariness import Wariness

NAMES = st.sampled_from(["", "alice", "bob"])
PLACES = st.sampled_from(["", "192.0.2.7", "2001:db8::/64"])


@pytest.mark.parametrize(
    ("name", "where", "asked"),
    [
        ("alice", "192.0.2.7", {("alice", "192.0.2.7")}),
        ("alice", "", {("alice", "192.0.2.7"), ("alice", "2001:db8::1"), ("alice", "2001:db8::2")}),
        ("", "2001:db8::/64", {(name, f"2001:db8::{last}") for name in ("alice", "bob") for last in (1, 2)}),
    ],
)
def test_a_warning_is_for_a_name_an_address_or_both(name: str, where: str, asked: set[tuple[str, str]]) -> None:
    wariness = Wariness()
    wariness.beware(name, where, 5.0, 100.0)
    tried = {(one, address) for one in ("alice", "bob") for address in ("192.0.2.7", "2001:db8::1", "2001:db8::2")}
    assert {each for each in tried if wariness.asks(*each, 104.9)} == asked
    assert not {each for each in tried if wariness.asks(*each, 105.0)}


def test_a_warning_of_everybody_is_for_everybody() -> None:
    wariness = Wariness()
    wariness.beware("", "", 5.0, 100.0)
    assert wariness.asks("alice", "192.0.2.7", 100.0)


def test_an_embargo_is_for_the_whole_place_and_for_a_while() -> None:
    wariness = Wariness()
    assert wariness.lets_in("2001:db8::1", 100.0)
    wariness.shut_out("2001:db8::/64", 5.0, 100.0)
    assert not wariness.lets_in("2001:db8::1", 104.0)
    assert wariness.lets_in("2001:db8:0:1::1", 104.0)
    assert wariness.lets_in("2001:db8::1", 105.0)


def test_a_later_word_replaces_an_earlier_one() -> None:
    wariness = Wariness()
    wariness.shut_out("192.0.2.7", 50.0, 100.0)
    wariness.shut_out("192.0.2.7", 1.0, 100.0)
    assert wariness.lets_in("192.0.2.7", 101.0)


def test_what_was_told_first_is_forgotten_when_there_is_no_room() -> None:
    wariness = Wariness(most=2)
    for last in (1, 2, 3):
        wariness.shut_out(f"192.0.2.{last}", 50.0, 100.0)
    assert [wariness.lets_in(f"192.0.2.{last}", 102.0) for last in (1, 2, 3)] == [True, False, False]


@given(st.lists(st.tuples(NAMES, PLACES, st.floats(0, 10))), st.floats(0, 20))
def test_it_asks_for_what_the_last_words_say(words: list[tuple[str, str, float]], later: float) -> None:
    wariness = Wariness()
    last: dict[tuple[str, str], float] = {}
    for name, where, seconds in words:
        wariness.beware(name, where, seconds, 0.0)
        last[name, where] = seconds
    for name in ("alice", "bob"):
        for address, where in (("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64")):
            keys = [(name, where), (name, ""), ("", where), ("", "")]
            assert wariness.asks(name, address, later) == any(later < last.get(key, 0.0) for key in keys)
