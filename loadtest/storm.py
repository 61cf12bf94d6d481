"""More logins than a directory can serve: who was served, who was refused, who waited for how long.

An orderly queue is the measure: one that serves in the order of arrival, as fast as the server can, and lets nobody go
before the time is up. It cannot serve everybody, but it wastes nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from ldapmap import DirectoryError, DirectorySettings, Unavailable, open_directory
from loadtest.asking import Login, opened, settings_for, whole_login
from loadtest.figures import Figure, percentile
from loadtest.logins import IN_FLIGHT, spend_for
from loadtest.people import PASSWORD, ldif, uid
from loadtest.slapd import Slapd, slow_hash
from loadtest.usage import cpu_seconds

USERS = 5000

RATE = 2000.0
"""Logins offered per second."""

CAPACITY = 500.0
"""Password checks per second that the server is slowed down to."""

TRIAL_ROUNDS = 5000
"""Rounds of the hash by which the number for that capacity is found."""

TRIAL = 5.0
"""Seconds, at most, for which the capacity is measured before and after a storm."""


GRACE = 3.0
"""Seconds beyond its own time limits after which a directory is not waited for any more."""

TICK = 0.005
"""Seconds between the moments at which those who have arrived begin."""


@dataclass(frozen=True, slots=True)
class Offered:
    """So many logins per second, evenly, for so many seconds; each waits for its turn up to `patience` seconds."""

    rate: float
    seconds: float
    patience: float

    @property
    def count(self) -> int:
        """How many logins that is."""
        return round(self.rate * self.seconds)


@dataclass(slots=True)
class Outcome:
    """What became of them: the seconds that those who were served had waited, and how the others fared."""

    waits: list[float] = field(default_factory=list)
    early: int = 0
    """Failed although their time was not up."""
    late: int = 0
    """Failed when it was."""
    wrong: int = 0
    """Told anything but "unavailable", although every password was right."""

    @property
    def served(self) -> int:
        """How many logins succeeded."""
        return len(self.waits)

    def wait(self, percent: float) -> float:
        """Seconds that so many percent of those who were served did not exceed."""
        return percentile(self.waits, percent)


async def storm(login: Login, names: Sequence[str], offered: Offered, grace: float) -> Outcome:
    """Offer logins of `names` in turn, and return when the last has ended.

    A login is given up `grace` seconds after its time is up: the directory should have answered before that.
    """
    loop, outcome = asyncio.get_running_loop(), Outcome()
    began, arrived = loop.time(), 0
    async with asyncio.TaskGroup() as group:
        while arrived < offered.count:
            due = min(offered.count, int((loop.time() - began) * offered.rate) + 1)
            for number in range(arrived, due):
                arrival = began + number / offered.rate
                group.create_task(_arrive(login, names[number % len(names)], arrival, offered.patience, grace, outcome))
            arrived = due
            await asyncio.sleep(TICK)
    return outcome


async def _arrive(login: Login, name: str, arrival: float, patience: float, grace: float, outcome: Outcome) -> None:
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout_at(arrival + patience + grace):
            await login(name)
        outcome.waits.append(clock() - arrival)
    except (Unavailable, TimeoutError):
        if clock() - arrival < patience:
            outcome.early += 1
        else:
            outcome.late += 1
    except DirectoryError:
        outcome.wrong += 1


def orderly(offered: Offered, capacity: float) -> int:
    """How many logins a queue in the order of arrival serves when the server does `capacity` logins per second."""
    served, free = 0, 0.0
    for number in range(offered.count):
        arrival = number / offered.rate
        begin = max(arrival, free)
        if begin - arrival <= offered.patience:
            served += 1
            free = begin + 1 / capacity
    return served


class Capacity(NamedTuple):
    """What a server can do when it is always asked for the next login at once."""

    rate: float
    """Logins per second."""
    cost: float
    """Seconds of the server's processor time for one."""


async def storm_figures(seconds: float) -> list[Figure]:
    """Four times as many logins as a server with a slow hash can serve, with the settings' defaults.

    The server is confined to one processor where there are two, so that it is the hash which is slow, not its client.
    """
    with slow_server(await rounds_for(CAPACITY)) as server:
        return await one_storm("storm", server, settings_for(server), seconds)


async def one_storm(name: str, server: Slapd, settings: DirectorySettings, seconds: float) -> list[Figure]:
    """A storm on a server, and its capacity before and after."""
    offered = Offered(RATE, seconds, settings.queue_time)
    trial = min(TRIAL, seconds)
    before = await capacity(server, settings, trial)
    spent, kept = cpu_seconds(server.pid), kept_waiting()
    began = time.monotonic()
    async with opened(open_directory(settings, server.context)) as directory:
        outcome = await storm(whole_login(directory), _names(), offered, settings.operation_timeout + GRACE)
    disturbed = (kept_waiting() - kept) / (time.monotonic() - began)
    spent = cpu_seconds(server.pid) - spent
    after = await capacity(server, settings, trial)
    how = "part of the storm in which this client waited for a processor: above a few, the figures are not the client's"
    return [
        *_rows(name, offered, outcome, (before, after), spent),
        Figure(f"{name}: disturbed by others", disturbed * 100, "%", "", how),
    ]


async def rounds_for(wanted: float) -> int:
    """The rounds of the hash with which a server does about so many logins per second."""
    with slow_server(TRIAL_ROUNDS) as server:
        found = await capacity(server, settings_for(server), 2.0)
    return max(1000, round(TRIAL_ROUNDS * found.rate / wanted))


def slow_server(rounds: int) -> Slapd:
    """A server for `USERS` users with a hash of so many rounds, on one processor if there are two."""
    processors = sorted(os.sched_getaffinity(0))
    processor = processors[-1] if len(processors) > 1 else None
    return Slapd(ldif(USERS, hashes=[slow_hash(PASSWORD, rounds)]), processor=processor)


def kept_waiting() -> float:
    """Seconds that this process was ready to run and had no processor, so far."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


async def capacity(server: Slapd, settings: DirectorySettings, seconds: float) -> Capacity:
    """What a server can do, measured for so long."""
    async with opened(open_directory(settings, server.context)) as directory:
        before = cpu_seconds(server.pid)
        spent = await spend_for(seconds, whole_login(directory), cycle(_names()))
        return Capacity(spent.rate, (cpu_seconds(server.pid) - before) / spent.count)


def _names() -> list[str]:
    return [uid(number) for number in range(USERS)]


def _rows(
    name: str, offered: Offered, outcome: Outcome, capacities: tuple[Capacity, Capacity], spent: float
) -> list[Figure]:
    before, after = capacities
    rate, cost = (before.rate + after.rate) / 2, min(before.cost, after.cost)
    measured = f"{before.rate:.0f} before and {after.rate:.0f} after; {IN_FLIGHT} in flight, SHA-512 crypt, 1 processor"
    asked = f"{offered.rate:g}/s for {offered.seconds:g} s, each for a turn within {offered.patience:g} s"
    wasted = f"of {spent:.1f} s of slapd's processor time, what exceeds {cost * 1e3:.2f} ms for each served"
    rows = [
        ("capacity", rate, "/s", f"about {CAPACITY:g}", measured),
        ("offered", offered.count, "logins", "", asked),
        (
            "served",
            outcome.served,
            "logins",
            f">= {orderly(offered, rate):,}",
            "goal: an orderly queue at that capacity",
        ),
        ("failed before their time", outcome.early, "logins", "0", "unavailable, although their time was not up"),
        ("failed at their time", outcome.late, "logins", "", "unavailable, when it was"),
        ("told anything else", outcome.wrong, "logins", "0", "for example that the password is wrong"),
        ("wait p50", outcome.wait(50), "s", "", "from arrival to success, of those served"),
        ("wait p99", outcome.wait(99), "s", "", "the same"),
        ("wait longest", outcome.wait(100), "s", "", "the same"),
        ("server's time wasted", (1 - outcome.served * cost / spent) * 100, "%", "", wasted),
    ]
    return [Figure(f"{name}: {row}", value, unit, goal, how) for row, value, unit, goal, how in rows]
