"""Secrets do not show."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from proxy.protocols.credentials import Attempt
from proxy.protocols.secret import Secret

SECRET = Secret(b"hunter2")


def test_a_secret_is_revealed_where_it_is_asked_for() -> None:
    assert SECRET.reveal() == b"hunter2"


@pytest.mark.parametrize(
    "shown",
    [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r}", "%s" % SECRET, repr([SECRET])],  # noqa: UP031
)
def test_a_secret_is_never_printed(shown: str) -> None:
    assert "hunter2" not in shown


def test_a_login_attempt_is_printed_without_its_secret() -> None:
    assert "hunter2" not in repr(Attempt("PLAIN", b"alice", SECRET))


@pytest.mark.parametrize("serialise", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_is_never_serialised(serialise: object) -> None:
    assert callable(serialise)
    with pytest.raises(TypeError):
        serialise(SECRET)


def test_an_empty_secret_is_false() -> None:
    assert not Secret(b"")
    assert Secret(b"\0")
