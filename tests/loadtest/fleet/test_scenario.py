from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtest.fleet.behaviours import BEHAVIOURS
from loadtest.fleet.scenario import (
    Arrivals,
    BadScenario,
    Event,
    Limits,
    Mix,
    Pace,
    Population,
    Scenario,
    SiteTable,
    load,
    parse,
    shipped,
)

LEAST: dict[str, Any] = {"title": "t", "mix": {"idle": 1}}


@pytest.mark.parametrize("name", shipped())
def test_what_is_shipped_can_be_run(name: str) -> None:
    scenario = load(name)
    assert set(scenario.mix.weights()) <= set(BEHAVIOURS)
    assert all(event.at < scenario.seconds for event in scenario.event)


def test_the_scenarios_of_the_documentation_are_shipped() -> None:
    assert {"steady", "storm", "reconnect", "rebalance", "hostile"} <= set(shipped())


def test_every_behaviour_has_a_weight_and_no_other() -> None:
    every = Mix(**dict.fromkeys(Mix.__struct_fields__, 1.0))
    assert set(every.weights()) == set(BEHAVIOURS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mix": {"idel": 1}}, r"mix\.idel: there is no such key; known here: drain, .*half-tls"),
        ({"colour": "red"}, r"colour: there is no such key; known here: .*sessions"),
        ({"mix": {}}, r"all weights are 0; give at least one"),
        ({"users": "many"}, r"users: Expected `int`, got `str`; the default is 10000"),
        ({"users": 0}, r"users: Expected `int` >= 1"),
        ({"seconds": 0}, r"seconds: Expected `float` >= 1"),
        ({"pace": {"poll": "often"}}, r"pace\.poll: Expected `float`, got `str`; the default is 10"),
        ({"event": [{"at": 1, "do": "drop"}, {"at": 1, "do": "kil"}]}, r"event\[2\]\.do: Invalid enum value 'kil'"),
        ({"event": [{"at": 1, "do": "kill"}]}, r"event: kill needs a backend, such as"),
        ({"event": [{"at": 1, "do": "drop", "x": 1}]}, r"event\[1\]\.x: there is no such key; known here: .*share"),
    ],
)
def test_an_error_names_the_key_and_the_remedy(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadScenario, match=words):
        parse(LEAST | change)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(BadScenario, match="title: this key is needed"):
        parse({"mix": {"idle": 1}})


def test_a_scenario_is_read_from_a_file_and_keys_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "mine"\nusers = 5\n[mix]\nhalf-tls = 2\n')
    scenario = load(str(path), {"users": 7, "sessions": None})
    assert (scenario.title, scenario.users, scenario.mix.half_tls) == ("mine", 7, 2.0)


def test_a_file_that_is_no_toml_or_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("=")
    with pytest.raises(BadScenario, match=r"bad\.toml"):
        load(str(path))
    with pytest.raises(BadScenario, match=r"shipped are .*steady"):
        load("nothing")


def test_an_event_explains_what_happens_until_it_has_settled() -> None:
    scenario = parse(LEAST | {"event": [{"at": 10, "do": "drop", "settle": 5}]})
    assert [scenario.explained(at) for at in (9.9, 10, 15, 15.1)] == [False, True, True, False]


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "loadtest.md").read_text()
    tables = (Scenario, Arrivals, Population, Mix, Pace, Event, Limits, SiteTable)
    keys = {key for table in tables for key in table.__struct_encode_fields__}
    assert {
        key for key in keys if f"`{key}`" not in text and f"`[{key}]`" not in text and f"[[{key}]]" not in text
    } == set()
