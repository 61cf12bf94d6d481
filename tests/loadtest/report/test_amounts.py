"""Amounts as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.report.amounts import amount, clock, duration, moment, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0"),
        (0.000412, "412 µs"),
        (0.0031999, "3.2 ms"),
        (1.2345, "1.23 s"),
        (119.0, "119 s"),
        (600.0, "10 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_a_duration_has_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_amount_has_three_digits_or_all_of_its_whole_ones() -> None:
    assert amount(14.1234, "KiB") == "14.1 KiB"
    assert amount(41233.0, "") == "41,233"


def test_a_moment_of_a_run_reads_like_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 65, 3723, -0.2, -90)] == ["0:00", "1:05", "1:02:03", "0:00", "-1:30"]


def test_a_moment_of_the_world_is_told_in_utc() -> None:
    assert moment(0) == "1970-01-01 00:00 UTC"


def test_what_could_disturb_a_terminal_is_escaped() -> None:
    assert printable("a\x1b[31m\r\n") == "a\\u001b[31m\\r\\n"
    assert printable("Grüße") == "Grüße"


@given(st.text(max_size=60), st.integers(1, 50))
def test_a_printable_text_is_printable_and_short(text: str, most: int) -> None:
    shown = printable(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
