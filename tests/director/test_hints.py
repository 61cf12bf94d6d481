"""What nodes tell each other: read by those who speak it, passed over by others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director.hints import Admin, Changed, Hint, KickAll, Voted, changed, decode, encode
from director.store import MAX_MESSAGE


@pytest.mark.parametrize(
    "hint",
    [Changed("n", ["alice"]), Voted("n", "a", False), Admin("n", "a", "offline"), KickAll("n", "192.0.2.1")],
    ids=lambda hint: type(hint).__name__,
)
def test_a_hint_is_read_as_it_was_written(hint: Hint) -> None:
    assert decode(encode(hint)) == hint


@given(st.binary())
def test_what_is_not_ours_is_none_or_a_hint_but_never_an_error(message: bytes) -> None:
    hint = decode(message)
    assert hint is None or isinstance(hint, Changed | Voted | Admin | KickAll)


def test_many_users_are_named_in_several_messages() -> None:
    users = [f"user{number}" for number in range(1000)]
    messages = changed("n", users)
    assert len(messages) == 3
    named = [hint.users for message in messages if isinstance(hint := decode(message), Changed)]
    assert [name for names in named for name in names] == users


def test_nobody_is_named_in_no_message() -> None:
    assert changed("n", []) == []


def test_names_that_nobody_has_do_not_become_a_message_that_the_store_refuses() -> None:
    messages = changed("n", ["x" * 1000] * 400)
    assert all(len(message) <= MAX_MESSAGE for message in messages)
