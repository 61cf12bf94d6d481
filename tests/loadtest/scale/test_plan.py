from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.scale.plan import MOST, MOST_SHARDS, USED, Plan, processes_for, workers_for


def test_fifty_thousand_sessions_need_seven_workers_of_twenty_thousand_descriptors() -> None:
    assert workers_for(50_000, 20_000, 2) == 7
    assert processes_for(50_000, 20_000) == 4


def test_there_is_a_worker_for_every_processor_at_least() -> None:
    assert workers_for(100, 20_000, 8) == 8
    assert processes_for(100, 20_000) == 1


@given(st.integers(1, MOST), st.integers(1_000, 1_000_000))
def test_nobody_gets_more_than_three_quarters_of_the_descriptors(sessions: int, descriptors: int) -> None:
    assert 2 * sessions <= workers_for(sessions, descriptors, 1) * USED * descriptors
    assert sessions <= processes_for(sessions, descriptors) * USED * descriptors


@pytest.mark.parametrize(("processes", "shards"), [(1, 4), (6, 6), (40, MOST_SHARDS)])
def test_there_are_enough_shards_for_all_backend_processes(processes: int, shards: int) -> None:
    plan = Plan(processes=processes)
    assert plan.shards == shards
    assert plan.scenario.site.processes == min(processes, shards)


def test_the_scenario_says_how_often_mail_arrives() -> None:
    scenario = Plan(steps=(10, 20), push_every=50.0, workers=3).scenario
    assert (scenario.sessions, scenario.site.workers, scenario.site.pushes) == (20, 3, 0.02)
