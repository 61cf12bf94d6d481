"""Tables that stay tables whatever is in them, and amounts that read like a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tables import (
    NARROWEST,
    Column,
    age,
    amount,
    cells_wide,
    parts,
    printable,
    shortened,
    since,
    table,
    whole,
)

NAME = Column("NAME", lambda row: str(row["name"]), tone=lambda row: "bad" if row["name"] == "mb2" else "")
COUNT = Column("USERS", lambda row: whole(row["users"]), right=True)
EMPTY = Column("PROBLEM", lambda row: "")
ROWS = [{"name": "mb1", "users": 1234}, {"name": "mb2", "users": 7}]


def test_texts_stand_left_numbers_right_and_empty_columns_are_left_out() -> None:
    assert table((NAME, EMPTY, COUNT), ROWS) == ["NAME  USERS", "mb1   1,234", "mb2       7"]


def test_without_rows_there_is_no_table() -> None:
    assert table((NAME, COUNT), []) == []


def test_colours_take_no_room() -> None:
    lines = table((NAME, COUNT), ROWS, coloured=True)
    assert lines == ["NAME  USERS", "mb1   1,234", "\x1b[31mmb2\x1b[0m       7"]


def test_wide_and_combining_characters_are_counted_as_they_are_shown() -> None:
    rows = [{"name": "日本", "users": 1}, {"name": "e\u0301a", "users": 2}]
    assert table((NAME, COUNT), rows) == ["NAME  USERS", "日本      1", "e\u0301a        2"]


def test_what_could_disturb_a_terminal_is_escaped() -> None:
    assert printable("a\x1b[31m\nb\u202ec") == "a\\u001b[31m\\nb\\u202ec"
    assert table((NAME,), [{"name": "a\nb"}]) == ["NAME", "a\\nb"]


def test_the_widest_text_gives_way_and_numbers_never_do() -> None:
    rows = [{"name": "a" * 100, "users": 123456789}]
    line = table((NAME, COUNT), rows, width=40)[1]
    assert line == "a" * 26 + "…  123,456,789"
    narrow = table((NAME, COUNT), rows, width=3)[1]
    assert narrow == "a" * (NARROWEST - 1) + "…  123,456,789"


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 10**9)), min_size=1), st.integers(0, 200))
def test_whatever_is_in_it_each_row_is_a_line_and_the_numbers_are_in_one_column(
    given_rows: list[tuple[str, str, int]], width: int
) -> None:
    rows = [{"name": name, "other": other, "users": users} for name, other, users in given_rows]
    lines = table((NAME, Column("OTHER", lambda row: row["other"]), COUNT), rows, width=width)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)
    assert len({cells_wide(line) for line in lines}) == 1


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    assert cells_wide(shortened(printable(text), width)) <= width


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (47.5 * 3600, "47 h"),
     (48 * 3600, "2 d"), (1e9, "11574 d")],
)  # fmt: skip
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_amounts_are_words() -> None:
    assert since(940.0, 1000.0) == "1 min"
    assert since(0, 1000.0) == since(None, 1000.0) == ""
    assert [amount(n, "user") for n in (0, 1, 1234, None)] == ["0 users", "1 user", "1,234 users", "0 users"]
    assert amount(2, "entry", "entries") == "2 entries"
    assert whole(None) == ""
    assert parts({"serving": 3, "standby": 0, "offline": 1}) == "3 serving, 1 offline"
