from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from loadtest.options import positive, seconds


def test_what_is_in_range_is_taken() -> None:
    assert positive("12") == 12
    assert seconds("0") == 0
    assert seconds("0.5", 0.1) == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "²"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="a whole number from 1"):
        positive(text)


@pytest.mark.parametrize("text", ["-1", "0.05", "86401", "nan", "inf", "soon"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"seconds from 0\.1 to 86,400"):
        seconds(text, 0.1)
