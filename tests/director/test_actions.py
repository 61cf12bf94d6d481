"""Orders say everything that whoever carries them out has to know, and are values."""

from __future__ import annotations

from typing import get_args

import pytest

from director.actions import Action, Note, Swap


@pytest.mark.parametrize("order", get_args(Action), ids=lambda order: order.__name__)
def test_every_order_says_what_it_wants_done(order: type[Action]) -> None:
    assert order.__doc__
    assert order._fields


def test_equal_orders_are_the_same_order() -> None:
    assert Swap("alice", None, b"x", None) == Swap("alice", None, b"x", None)
    assert Note(20, "hello") != Note(30, "hello")
