"""Who the clients are: users with a heavy-tailed number of sessions, each with its behaviour and its arrival."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from loadtest.fleet.scenario import Arrivals, Population, Scenario


@dataclass(frozen=True, slots=True)
class Client:
    """One mail program: the `number`-th session of all, of the user of that number (from 0).

    `arrives` is in seconds since the run began.
    """

    number: int
    user: int
    behaviour: str
    arrives: float


def clients(scenario: Scenario, process: int = 0, processes: int = 1) -> Iterator[Client]:
    """Those of one of so many processes, equal for equal scenarios; all sessions of a user are in one process.

    The more sessions there are for the users, the more sessions a user has: nobody has more than `population.most`
    unless there are too few users for that.
    """
    random = Random(scenario.seed)
    names, weights = zip(*scenario.mix.weights().items(), strict=True)
    cumulated = list(accumulate(weights))
    order = _owners(scenario, random)
    behaviours = random.choices(names, cum_weights=cumulated, k=scenario.sessions)
    places = list(range(scenario.sessions))
    random.shuffle(places)
    for number, (user, behaviour, place) in enumerate(zip(order, behaviours, places, strict=True)):
        if user % processes == process:
            yield Client(number, user, behaviour, arrival(scenario.arrivals, place, scenario.sessions))


def arrival(arrivals: Arrivals, place: int, count: int) -> float:
    """When the client in this place (from 0) of so many comes, in seconds since the beginning."""
    return 0.0 if arrivals.pattern == "storm" else arrivals.seconds * place / count


def sessions_of(population: Population, random: Random) -> int:
    """How many sessions one user has: Pareto, 1 for most, rarely many."""
    return min(population.most, int(random.paretovariate(population.tail)))


def _owners(scenario: Scenario, random: Random) -> list[int]:
    """The user of each session."""
    owners: list[int] = []
    while len(owners) < scenario.sessions:
        for user in random.sample(range(scenario.users), min(scenario.users, scenario.sessions)):
            owners += [user] * sessions_of(scenario.population, random)
            if len(owners) >= scenario.sessions:
                break
    return owners[: scenario.sessions]
