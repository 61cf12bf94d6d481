"""Each reason of the director is an error of its own, with the director's words."""

from __future__ import annotations

from typing import get_args

import pytest

from director import DirectorError, Limited, NoBackend, NoDirector, NoRoom, NoShard, Unreachable, Unreadable, Waited
from director.errors import refusal
from director.wire import Reason

ERRORS: dict[Reason, type[DirectorError]] = {
    "no_shard": NoShard,
    "no_backend": NoBackend,
    "unreachable": Unreachable,
    "waited": Waited,
    "full": NoRoom,
    "store": Unreadable,
    "limit_user": Limited,
    "limit_address": Limited,
    "limit_pair": Limited,
}


def test_every_reason_has_its_error() -> None:
    assert set(get_args(Reason)) == set(ERRORS)


@pytest.mark.parametrize(("reason", "kind"), ERRORS.items())
def test_an_error_carries_the_directors_words(reason: Reason, kind: type[DirectorError]) -> None:
    error = refusal(reason, "because of something", 2.5)
    assert type(error) is kind
    assert (str(error), error.wait) == ("because of something", 2.5)


@pytest.mark.parametrize(
    ("reason", "limit"), [("limit_user", "user"), ("limit_address", "address"), ("limit_pair", "pair")]
)
def test_a_limit_says_of_whom(reason: Reason, limit: str) -> None:
    error = refusal(reason, "30 sessions, 30 may be")
    assert isinstance(error, Limited)
    assert error.limit == limit


def test_another_try_helps_unless_an_operator_has_to_do_something() -> None:
    kinds: set[type[DirectorError]] = {*ERRORS.values(), NoDirector}
    assert {kind for kind in kinds if not kind.retry_helps} == {NoShard, Unreadable}


def test_what_an_entry_says_is_told_so_that_it_cannot_disturb_a_terminal() -> None:
    assert str(NoShard.called("mb9\n")).startswith(r"no shard is called 'mb9\n' and none alone")
