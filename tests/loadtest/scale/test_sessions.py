from __future__ import annotations

from loadtest.fleet.clients import Fleet, Visitor
from loadtest.fleet.ground import Ground
from loadtest.fleet.hearing import RunOver
from loadtest.fleet.population import Client
from loadtest.fleet.tally import Snapshot
from loadtest.scale.sessions import arrive, stay
from proxy.protocols.wire import EndOfStream
from tests.loadtest.fleet.work import fleet_on, run_until


def arriving(fleet: Fleet, user: int) -> Visitor:
    """Somebody who comes and stays."""
    visitor = Visitor(fleet, Client(user, user, "idle", 0.0))

    async def come() -> None:
        session = await arrive(visitor)
        if session is not None:
            fleet.engine.spawn(stay(visitor, session))

    fleet.engine.spawn(come())
    return visitor


def ended(fleet: Fleet, user: int, failure: Exception) -> Snapshot:
    """What is told of somebody who was there until this happened."""
    arriving(fleet, user)
    run_until(fleet, lambda: fleet.tally.states["idling"] == 1)
    fleet.engine.stop(lambda: failure)
    assert not fleet.engine.jobs
    return fleet.tally.snapshot(0.0, 0.0)


def test_a_session_idles_and_fetches_what_arrives(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        arriving(fleet, 1001)
        run_until(fleet, lambda: fleet.tally.counted("pushed") >= 2)
        told = fleet.tally.snapshot(0.0, 0.0)
    assert told.faults == {}
    assert told.counts["messages compared"] == told.counts["pushed"]
    assert {"arrival", "push"} <= set(told.latencies)


def test_whoever_is_told_to_go_leaves_no_error(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        told = ended(fleet, 1002, RunOver())
    assert (told.faults, told.counts.get("dropped"), told.states) == ({}, None, {})


def test_a_session_that_breaks_is_counted_as_dropped(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        told = ended(fleet, 1003, EndOfStream("closed"))
    assert told.counts["dropped"] == 1
    assert [(kind, fault.count) for kind, fault in told.faults.items()] == [("idle: connection lost", 1)]


def test_a_login_that_fails_is_counted_as_not_opened(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        arriving(fleet, 600_000)  # nobody has that number
        run_until(fleet, lambda: fleet.tally.counted("not opened") == 1)
        told = fleet.tally.snapshot(0.0, 0.0)
    assert [(kind, fault.count) for kind, fault in told.faults.items()] == [("login: refused", 1)]
    assert told.states == {}
