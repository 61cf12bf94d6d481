"""Clients at work in the test's own process, until a condition holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loadtest.fleet.accounts import Numbered
from loadtest.fleet.behaviours import BEHAVIOURS, live
from loadtest.fleet.clients import Fleet, Visitor
from loadtest.fleet.engine import Engine
from loadtest.fleet.ground import Ground
from loadtest.fleet.hearing import RunOver
from loadtest.fleet.ledger import Ledger
from loadtest.fleet.population import Client
from loadtest.fleet.process import client_context
from loadtest.fleet.scenario import Pace, Scenario, parse
from loadtest.fleet.tally import Snapshot, Tally
from loadtest.people import PASSWORD

PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""

EXTRA = """
[auth]
failure_delay = 0
[timeouts]
handshake = 1
login = 3
login_budget = 3
backend_login = 3
backend_greeting = 3
backend_tls = 3
backend_connect = 3
[director]
kick_spread = 0
"""


def scenario_of(**mix: float) -> Scenario:
    """A scenario at a pace at which tests do not have to wait."""
    table: dict[str, Any] = {
        "title": "test",
        "mix": mix,
        "seconds": 60,
        "sessions": 4,
        "arrivals": {"pattern": "storm"},
        "users": 100,
        "pace": dict.fromkeys((name for name in Pace.__struct_fields__), 0.05),
        "site": {"shards": 1, "replicas": 2, "pushes": 5.0, "extra": EXTRA},
    }
    return parse(table)


@contextmanager
def fleet_on(ground: Ground, scenario: Scenario | None = None) -> Iterator[Fleet]:
    """What visitors share, with an engine that is ended afterwards."""
    engine = Engine()
    used = scenario or scenario_of(idle=1)
    fleet = Fleet(
        engine,
        used,
        ground.target,
        client_context(ground.target.ca),
        Numbered(PASSWORD),
        Tally(0),
        Ledger(),
        engine.now(),
    )
    try:
        yield fleet
    finally:
        engine.stop(RunOver)
        engine.end()


def run_until(fleet: Fleet, condition: Callable[[], bool]) -> None:
    """Let the jobs go on until then; fails when it takes too long."""
    until = fleet.engine.now() + PATIENCE
    fleet.engine.run(lambda: condition() or fleet.engine.now() > until)
    assert condition(), fleet.tally.snapshot(0.0, 0.0)


def at_work(ground: Ground, behaviour: str, wanted: str, number: int = 1, user: int = 0, **scenario: Any) -> Snapshot:
    """A client of this behaviour until something was counted so often; what was seen."""
    with fleet_on(ground, parse(scenario) if scenario else scenario_of(**{behaviour: 1.0})) as fleet:
        visitor = Visitor(fleet, Client(user, user, behaviour, 0.0), aside=BEHAVIOURS[behaviour].hostile)
        fleet.engine.spawn(live(visitor))
        run_until(fleet, lambda: fleet.tally.counted(wanted) >= number)
        return fleet.tally.snapshot(fleet.now(), 0.0)
