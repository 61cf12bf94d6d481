"""The behaviours a scenario can mix, and the life of a client: it comes, visits, goes, and comes again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from loadtest.fleet import hostile, readers, visitors
from loadtest.fleet.clients import Visitor
from loadtest.fleet.hearing import Dropped, RunOver, Trouble, trouble
from loadtest.fleet.scenario import Pace
from proxy.protocols.wire import WireFailure


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a client does in one visit; `pause` is the mean of the seconds until the next one.

    What a `hostile` one sees of the server's speed is not counted; one that is `doomed` is meant to be cut off: that is
    no error.
    """

    visit: Callable[[Visitor], Awaitable[None]]
    pause: Callable[[Pace], float]
    hostile: bool = False
    doomed: bool = False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "idle": Behaviour(readers.idle, lambda pace: pace.back),
    "poll": Behaviour(readers.poll, lambda pace: pace.back),
    "read": Behaviour(readers.read, lambda pace: pace.back),
    "write": Behaviour(readers.write, lambda pace: pace.back),
    "drain": Behaviour(visitors.drain, lambda pace: pace.drain),
    "script": Behaviour(visitors.script, lambda pace: pace.script),
    "phone": Behaviour(visitors.phone, lambda pace: pace.phone),
    "wrong": Behaviour(visitors.wrong, lambda pace: pace.wrong),
    "pipeliner": Behaviour(visitors.pipeliner, lambda pace: pace.pipeliner, hostile=True),
    "slowloris": Behaviour(hostile.slowloris, lambda pace: pace.hostile, hostile=True, doomed=True),
    "garbage": Behaviour(hostile.garbage, lambda pace: pace.hostile, hostile=True, doomed=True),
    "half-tls": Behaviour(hostile.half_tls, lambda pace: pace.hostile, hostile=True, doomed=True),
    "silent": Behaviour(hostile.silent, lambda pace: pace.hostile, hostile=True, doomed=True),
    "slow-reader": Behaviour(hostile.slow_reader, lambda pace: pace.hostile, hostile=True, doomed=True),
}
"""By their names in a scenario's mix."""

AWAY = "away"
"""The state of a client between two visits."""


async def live(visitor: Visitor) -> None:
    """From its arrival until the run is over."""
    behaviour = BEHAVIOURS[visitor.client.behaviour]
    engine, pace = visitor.fleet.engine, visitor.fleet.scenario.pace
    try:
        await engine.sleep(max(0.0, visitor.client.arrives - visitor.fleet.now()))
        while True:
            went_well = await visit(visitor, behaviour)
            visitor.be(AWAY)
            pause = behaviour.pause(pace) if went_well or behaviour.doomed else pace.back
            await engine.sleep(visitor.around(pause))
    except (RunOver, Dropped):
        visitor.leave()
    finally:
        visitor.be("")


async def visit(visitor: Visitor, behaviour: Behaviour) -> bool:
    """One visit; whether it ended as it should. Everything that goes wrong in it is noted."""
    try:
        await behaviour.visit(visitor)
    except Dropped:
        visitor.vanish()
    except Trouble as found:
        visitor.fails(found.kind, str(found))
    except WireFailure as failure:
        if not behaviour.doomed:
            broken = trouble(visitor.phase, failure)
            visitor.fails(broken.kind, str(broken))
    else:
        return True
    finally:
        visitor.part()
    return False
