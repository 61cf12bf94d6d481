from __future__ import annotations

import msgspec

from loadtest.fleet.behaviours import BEHAVIOURS, live
from loadtest.fleet.clients import Visitor
from loadtest.fleet.ground import Ground
from loadtest.fleet.hearing import Dropped, RunOver
from loadtest.fleet.population import Client
from tests.loadtest.fleet.work import fleet_on, run_until, scenario_of


def test_only_who_is_meant_to_be_cut_off_is_doomed_and_all_of_them_are_hostile() -> None:
    assert {name for name, one in BEHAVIOURS.items() if one.hostile and not one.doomed} == {"pipeliner"}
    assert all(one.hostile for one in BEHAVIOURS.values() if one.doomed)


def test_a_client_that_cannot_connect_tries_again_and_says_why(ground: Ground) -> None:
    nowhere = Ground(msgspec.structs.replace(ground.target, ports=dict.fromkeys(ground.target.ports, 1)))
    with fleet_on(nowhere) as fleet:
        fleet.engine.spawn(live(Visitor(fleet, Client(0, 0, "idle", 0.0))))
        run_until(fleet, lambda: fleet.tally.faulted("connect: connection lost") >= 2)


def test_a_client_that_is_dropped_comes_back_without_an_error(ground: Ground) -> None:
    with fleet_on(ground, scenario_of(poll=1)) as fleet:
        visitor = Visitor(fleet, Client(9, 9, "poll", 0.0))
        job = fleet.engine.spawn(live(visitor))
        run_until(fleet, lambda: fleet.tally.counted("polled") > 0)
        job.fail(Dropped())
        run_until(fleet, lambda: fleet.tally.counted("logins") == 2)
        assert fleet.tally.snapshot(0.0, 0.0).faults == {}


def test_the_end_of_the_run_ends_a_client_wherever_it_is(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        for number, behaviour in enumerate(BEHAVIOURS):
            fleet.engine.spawn(live(Visitor(fleet, Client(number, number, behaviour, 0.0))))
        run_until(fleet, lambda: fleet.tally.counted("logins") > 3)
        fleet.engine.stop(RunOver)
        assert not fleet.engine.jobs
        assert not fleet.engine.timed
        assert +fleet.tally.states == {}
