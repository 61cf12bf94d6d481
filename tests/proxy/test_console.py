"""How the director is asked, and what is said when it does not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from director import Refused, Unanswered
from proxy.console import Console
from tests.proxy.fake_director import Place, refused, rows, site


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        yield made


def test_rows_come_in_several_lines_and_are_one_listing(place: Place) -> None:
    chunks = [{"ok": True, "rows": [{"user": "a"}, {"user": "b"}], "more": True}, rows({"user": "c"})]
    director = place.start(who={"chunks": chunks})
    assert Console(place.socket).rows("who", target="x") == [{"user": "a"}, {"user": "b"}, {"user": "c"}]
    assert director.asked == [{"ask": "who", "target": "x"}]


def test_no_more_rows_are_kept_than_wanted(place: Place) -> None:
    place.start(who=rows(*({"user": str(n)} for n in range(9))))
    assert Console(place.socket).rows("who", 2) == [{"user": "0"}, {"user": "1"}]


def test_an_answer_is_what_was_said_beside_ok(place: Place) -> None:
    place.start(kick={"ok": True, "kicked": 3})
    assert Console(place.socket).answer("kick", target="x") == {"kicked": 3}


def test_a_refusal_says_why(place: Place) -> None:
    place.start(drain=refused("there is no backend x"))
    with pytest.raises(Refused, match="there is no backend x"):
        Console(place.socket).answer("drain", backend="x", dry=True)


def test_without_a_director_there_is_no_answer(place: Place) -> None:
    with pytest.raises(Unanswered, match=r"no director answers at /.*/control\.sock: No such file"):
        Console(place.socket).answer("status")


def test_rubbish_is_no_answer(place: Place) -> None:
    place.start(moves={"chunks": ["x"]})
    with pytest.raises(Unanswered):
        Console(place.socket).rows("moves")
