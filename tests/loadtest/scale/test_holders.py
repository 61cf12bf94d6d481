from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.fleet.children import CrewFailed
from loadtest.fleet.ground import Ground
from loadtest.fleet.record import INSIDE, Record
from loadtest.scale.holders import Holders, holders
from loadtest.scale.plan import Plan

PATIENCE = 20.0


def until(clients: Holders, record: Record, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, record.faults
        for snapshot in clients.listen(0.2):
            record.add(snapshot)


def test_sessions_are_shared_out_over_the_processes(plan: Plan, ground: Ground) -> None:
    record = Record(10)
    with holders(replace(plan, processes=2), ground) as clients:
        clients.want(5)
        until(clients, record, lambda: sum(record.states()[name] for name in INSIDE) == 5)
        assert set(clients.pids) == {"clients-0", "clients-1"}
        assert clients.now() > 0
    assert record.faults == {}


def test_a_process_that_dies_is_told(plan: Plan, ground: Ground) -> None:
    with holders(plan, ground) as clients:
        os.kill(clients.pids["clients-0"], signal.SIGKILL)
        with pytest.raises(CrewFailed, match="before its time"):
            until(clients, Record(10), lambda: False)
