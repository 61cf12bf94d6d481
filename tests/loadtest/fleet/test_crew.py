from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from loadtest.fleet.children import CrewFailed
from loadtest.fleet.crew import Crew, crew
from loadtest.fleet.ground import Ground
from loadtest.fleet.process import Assignment
from loadtest.fleet.tally import Snapshot
from loadtest.people import PASSWORD
from tests.loadtest.fleet.work import scenario_of


def told(clients: Crew) -> Iterator[Snapshot]:
    while clients.working:
        yield from clients.listen(10.0)


def test_processes_tell_until_they_are_stopped_and_then_their_last(ground: Ground) -> None:
    before = time.monotonic()
    with crew([Assignment(scenario_of(poll=1), ground.target, number, 2, PASSWORD) for number in (0, 1)]) as ours:
        assert ours.begin() > before
        first = next(told(ours))
        ours.stop(audit=False)
        last = {snapshot.process for snapshot in told(ours) if snapshot.last}
    assert not first.last
    assert last == {0, 1}
    assert len(ours.pids) == 2


def test_a_process_that_dies_is_told(ground: Ground) -> None:
    with crew([Assignment(scenario_of(poll=1), ground.target, 0, 1, PASSWORD)]) as ours:
        for child in ours.working.values():
            child.kill()
        with pytest.raises(CrewFailed, match="before its time"):
            list(told(ours))
