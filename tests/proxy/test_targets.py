"""What a word of the operator's means."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from director import Refused
from ldapmap import InvalidName
from proxy.config import load
from proxy.console import Console
from proxy.targets import KICKABLE, LIMITED, Target, canonical_user, find_target
from tests.proxy.fake_director import Place, rows, site


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        made.start(backends=rows({"backend": "mb1a"}))
        yield made


def find(place: Place, text: str) -> Target:
    return find_target(text, load(place.config), Console(place.socket))


@pytest.mark.parametrize(
    ("typed", "kind", "text"),
    [("", "all", ""), ("192.0.2.7", "address", "192.0.2.7"), ("[2001:DB8::1]", "address", "2001:db8::1"),
     ("192.0.2.1/24", "network", "192.0.2.0/24"), ("mb1a", "backend", "mb1a"), ("MB1A", "user", "mb1a"),
     ("Alice", "user", "alice"), ("a/b", "user", "a/b")],
)  # fmt: skip
def test_a_word_is_an_address_a_network_a_backend_or_else_a_user(
    place: Place, typed: str, kind: str, text: str
) -> None:
    target = find(place, typed)
    assert (target.kind, target.text) == (kind, text)


def test_not_everything_can_be_meant_by_every_command(place: Place) -> None:
    assert find(place, "alice").one_of(*KICKABLE) == "alice"
    with pytest.raises(Refused, match=r"^192\.0\.2\.0/24: name a user, an address or a backend$"):
        find(place, "192.0.2.0/24").one_of(*KICKABLE)
    with pytest.raises(Refused, match=r"^nobody: name a user or an address$"):
        find(place, "").one_of(*LIMITED)


@pytest.mark.parametrize("typed", ["", "  ", "a\0b"])
def test_what_cannot_be_a_name_is_none(place: Place, typed: str) -> None:
    with pytest.raises(InvalidName):
        canonical_user(typed, load(place.config))
