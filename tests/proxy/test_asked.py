"""What a command has to work with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.asked import Asked
from proxy.config import load
from proxy.console import Console
from proxy.screen import Screen
from tests.proxy.fake_director import Place, site


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        made.start()
        yield made


class Doubtful(Screen):
    """Somebody who never says yes."""

    def agreed(self, question: str) -> bool:
        assert question == "end\\u001b all?"
        return False


def asked(place: Place, **options: Any) -> Asked:
    return Asked(argparse.Namespace(**options), load(place.config), Console(place.socket), Doubtful())


def test_an_answer_is_shown_to_a_person_or_to_a_program(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    asked(place, json=False).answered({"kicked": 1}, "one\nsession", "ended")
    assert capsys.readouterr().out == "one\\nsession\nended\n"
    asked(place, json=True).answered({"kicked": 1}, "one session ended")
    assert json.loads(capsys.readouterr().out) == {"kicked": 1}


def test_who_said_yes_before_is_not_asked(place: Place) -> None:
    assert asked(place, yes=True).agreed("end\x1b all?")
    assert not asked(place, yes=False).agreed("end\x1b all?")


def test_the_target_is_what_was_typed(place: Place) -> None:
    assert asked(place, target="Alice").target().text == "alice"
