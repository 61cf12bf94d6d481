from __future__ import annotations

import pytest

from loadtest.scale.outcome import (
    bound_of_return,
    cpu_of_a_login,
    kernel_of_a_session,
    memory_of_a_session,
    resting_before,
)
from tests.loadtest.scale.examples import KIB, census_of, outcome_of, step_of


def test_a_session_costs_what_is_there_more_than_without() -> None:
    assert memory_of_a_session(step_of(1000, each=16.0), census_of()) == 16.0


def test_half_of_the_kernels_memory_belongs_to_the_clients_and_the_backends() -> None:
    assert kernel_of_a_session(step_of(1000), census_of()) == 8.0
    assert kernel_of_a_session(step_of(1000), census_of(kernel=None)) is None


def test_a_login_costs_what_was_used_less_what_those_who_are_there_use() -> None:
    step = step_of(1000, opened=500, cpu=2.0, seconds=10.0, resting=0.15)
    assert cpu_of_a_login(step, 0.05) == pytest.approx((2.0 - 0.1 * 10.0) / 500)


def test_nothing_opened_costs_nothing() -> None:
    assert cpu_of_a_login(step_of(1000, opened=0, cpu=0.0), 0.0) == 0.0


def test_what_is_used_at_rest_is_known_from_the_step_before() -> None:
    outcome = outcome_of(step_of(10, resting=0.3), step_of(20), idle=0.01)
    assert (resting_before(outcome, 0), resting_before(outcome, 1)) == (0.01, 0.3)


def test_seven_tenths_of_what_sessions_took_have_to_come_back() -> None:
    outcome = outcome_of(step_of(10_000, each=10.0))
    assert bound_of_return(outcome) == pytest.approx(100 * KIB + 0.3 * 100_000)
    assert bound_of_return(outcome_of()) == 100 * KIB


def test_the_most_sessions_are_those_of_any_step() -> None:
    assert outcome_of(step_of(10), step_of(20, sessions=5)).most == 10
    assert outcome_of().most == 0
