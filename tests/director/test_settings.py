"""`[director]`: its keys are explained, have limits, and say what contradicts itself."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from director import DirectorSettings
from director.failback import FailbackSettings
from director.gate import GateSettings
from director.limits import LimitSettings
from director.moves import MoveSettings
from director.sections import HealthSettings
from director.stores.settings import RedisSettings
from director.votes import VoteSettings

SECTIONS = (
    DirectorSettings,
    FailbackSettings,
    GateSettings,
    HealthSettings,
    LimitSettings,
    MoveSettings,
    RedisSettings,
    VoteSettings,
)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_explained(section: type[Any]) -> None:
    for setting in fields(section):
        assert setting.metadata.get("key") is False or setting.metadata["doc"].endswith(".")


@pytest.mark.parametrize("section", SECTIONS)
def test_every_default_is_within_its_limits(section: type[Any]) -> None:
    for setting in fields(section):
        if "min" in setting.metadata and setting.default is not MISSING:
            assert setting.metadata["min"] <= setting.default <= setting.metadata["max"]


def test_the_defaults_have_no_fault_and_need_no_other_machine() -> None:
    settings = DirectorSettings()
    assert list(settings.faults()) == []
    assert settings.shared_store is None


def test_a_store_is_reached_as_the_redis_section_says() -> None:
    settings = DirectorSettings(store="rediss://redis.example/2", redis=RedisSettings(prefix="mail"))
    assert list(settings.faults()) == []
    assert settings.shared_store == RedisSettings(url="rediss://redis.example/2", prefix="mail")


def test_a_store_that_is_no_address_is_a_fault() -> None:
    ((key, message),) = DirectorSettings(store="redis.example:6379").faults()
    assert key == "store"
    assert "redis://host:port/0" in message


def test_a_node_needs_time_for_more_than_two_heartbeats() -> None:
    ((key, message),) = DirectorSettings(heartbeat=3.0, node_timeout=6.0).faults()
    assert key == "node_timeout"
    assert "two heartbeats of 3 s" in message


def test_the_gates_word_has_to_last_longer_than_it_takes_to_give() -> None:
    gate = GateSettings(command=("/bin/true",), deadline=60.0)
    ((key, message),) = DirectorSettings(gate=gate, failback=FailbackSettings(word_lasts=30.0)).faults()
    assert key == "failback.word_lasts"
    assert "60 s" in message
