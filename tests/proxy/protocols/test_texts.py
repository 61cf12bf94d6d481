"""The words for each failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.failures import Failure, Kind
from proxy.protocols.texts import TEXTS, text

from .strategies import MANY


def test_there_are_words_for_every_kind_but_a_client_that_has_gone() -> None:
    assert set(TEXTS) == set(Kind) - {Kind.DISCONNECTED}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_words_fit_into_a_line_of_every_protocol(kind: Kind) -> None:
    words = TEXTS[kind]
    assert words.isascii()
    assert words.isprintable()
    assert words.endswith(".")
    assert not set(words) & set('"\\[](){}')


def test_details_and_codes_are_not_for_the_client() -> None:
    assert text(Failure(Kind.BAD_CREDENTIALS, "no such user alice", code="X")) == TEXTS[Kind.BAD_CREDENTIALS]


def test_what_fails_for_who_is_known_and_who_is_not_reads_alike() -> None:
    known = Failure(Kind.BAD_CREDENTIALS, "wrong password")
    unknown = Failure(Kind.BAD_CREDENTIALS, "unknown user")
    assert text(known) == text(unknown)


@pytest.mark.parametrize("words", ["", " ", "\r\n", "ü"])
def test_an_operators_text_of_which_nothing_is_left_is_replaced(words: str) -> None:
    assert text(Failure(Kind.ALERT, text=words)) == TEXTS[Kind.ALERT]


@MANY
@given(st.text(max_size=400))
def test_an_operators_text_fits_into_a_line_of_every_protocol(words: str) -> None:
    shown = text(Failure(Kind.ALERT, text=words))
    assert 0 < len(shown) <= 200
    assert shown.isascii()
    assert shown.isprintable()
    assert not set(shown) & set('"\\')
