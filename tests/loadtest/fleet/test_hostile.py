from __future__ import annotations

from typing import Any

import msgspec
import pytest

from loadtest.fleet.ground import Ground
from loadtest.fleet.scenario import Limits
from tests.loadtest.fleet.work import at_work, scenario_of


@pytest.mark.parametrize("behaviour", ["garbage", "half-tls", "silent"])
def test_a_hostile_client_is_cut_off(ground: Ground, behaviour: str) -> None:
    seen = at_work(ground, behaviour, "cut off", user=3)
    assert seen.faults == {}
    assert 0 < seen.longest["cut off"] < 20


def test_a_slowloris_is_slow_and_cut_off(ground: Ground) -> None:
    seen = at_work(ground, "slowloris", "cut off", user=3)
    assert seen.faults == {}
    assert seen.counts["sent"] < 100


def test_one_that_is_let_stay_too_long_is_an_error(ground: Ground) -> None:
    scenario = msgspec.structs.replace(scenario_of(silent=1), limits=Limits(cut_off=0.001))
    table: dict[str, Any] = msgspec.to_builtins(scenario)
    seen = at_work(ground, "silent", "cut off", **table)
    assert set(seen.faults) == {"hostile: silent was let stay"}


def test_a_slow_reader_reads_on(ground: Ground) -> None:
    seen = at_work(ground, "slow-reader", "sipped", user=4)
    assert seen.faults == {}
    assert seen.counts["other logins"] == 1
    assert seen.latencies == {}
