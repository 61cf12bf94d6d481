from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadtest.fleet.population import arrival, clients, sessions_of
from loadtest.fleet.scenario import Arrivals, Mix, Population, Scenario

SCENARIO = Scenario(title="t", sessions=2000, users=500_000, mix=Mix(idle=3, poll=1))


def test_equal_scenarios_give_equal_clients_and_another_seed_others() -> None:
    assert list(clients(SCENARIO)) == list(clients(SCENARIO))
    other = Scenario(title="t", sessions=2000, users=500_000, mix=Mix(idle=3, poll=1), seed=2)
    assert list(clients(SCENARIO)) != list(clients(other))


def test_a_user_has_one_session_or_few_and_rarely_many() -> None:
    numbers = Counter(client.user for client in clients(SCENARIO))
    spread = Counter(numbers.values())
    assert spread[1] > spread[2] > spread[4]
    assert 3 < max(numbers.values()) <= SCENARIO.population.most


def test_behaviours_come_as_often_as_their_weights_say() -> None:
    behaviours = Counter(client.behaviour for client in clients(SCENARIO))
    assert 0.7 < behaviours["idle"] / SCENARIO.sessions < 0.8


@given(st.integers(1, 300), st.integers(1, 50), st.integers(1, 4), st.integers(0, 9))
def test_processes_share_the_clients_and_no_user_is_in_two(
    sessions: int, users: int, processes: int, seed: int
) -> None:
    scenario = Scenario(title="t", sessions=sessions, users=users, seed=seed, mix=Mix(idle=1, drain=1))
    parts = [list(clients(scenario, process, processes)) for process in range(processes)]
    assert sorted(client.number for part in parts for client in part) == list(range(sessions))
    owners = [{client.user for client in part} for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    assert all(client.user < users for part in parts for client in part)


def test_a_ramp_is_even_and_a_storm_is_at_once() -> None:
    ramp = Arrivals(seconds=10)
    assert [arrival(ramp, place, 4) for place in range(4)] == [0.0, 2.5, 5.0, 7.5]
    assert arrival(Arrivals(pattern="storm"), 3, 4) == 0.0


def test_a_smaller_tail_gives_more_sessions() -> None:
    def mean(tail: float) -> float:
        random = Random(1)
        return sum(sessions_of(Population(tail=tail), random) for _ in range(2000)) / 2000

    assert mean(0.8) > mean(1.5) > mean(4.0) >= 1.0
