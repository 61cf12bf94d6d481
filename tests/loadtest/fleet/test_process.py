from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any, TypeAlias

import msgspec
import pytest

from loadtest.fleet.ground import Ground
from loadtest.fleet.process import NO_AUDIT, STOP, Assignment, Crew, client_context, most_sessions
from loadtest.fleet.record import Record
from loadtest.fleet.scenario import Event, Scenario
from loadtest.fleet.tally import unpacked
from loadtest.people import PASSWORD
from tests.loadtest.fleet.work import scenario_of

Until: TypeAlias = Callable[[Record], bool]


def seen(ground: Ground, scenario: Scenario, *words: bytes, until: Until | None = None, **more: Any) -> Record:
    """What a process tells that runs here, in this one, to the end or until a condition holds."""
    ours, theirs = multiprocessing.Pipe()
    for word in words:
        ours.send_bytes(word)
    with ThreadPoolExecutor() as beside:
        heard = beside.submit(listen, ours, Record(scenario.seconds), until)
        with theirs:
            Crew(Assignment(scenario, ground.target, 0, 1, PASSWORD, **more), theirs).run(time.monotonic())
        return heard.result()


def listen(pipe: Pipe, record: Record, until: Until | None) -> Record:
    with suppress(EOFError, OSError):
        while True:
            record.add(unpacked(pipe.recv_bytes()))
            if until is not None and until(record):
                pipe.send_bytes(STOP)
                until = None
    return record


def test_a_process_runs_its_clients_and_audits_what_they_wrote(ground: Ground) -> None:
    record = seen(ground, scenario_of(write=1, read=1), until=lambda record: record.counts["appended"] > 0)
    assert record.faults == {}
    assert record.counts["appended"] > 0
    assert record.counts["audited messages"] == record.counts["appended"]
    assert record.inside() != []


def test_the_parent_can_stop_it_without_an_audit(ground: Ground) -> None:
    record = seen(ground, scenario_of(write=1), NO_AUDIT, STOP)
    assert record.counts["audited users"] == 0


def test_hostile_clients_can_be_left_out(ground: Ground) -> None:
    short = msgspec.structs.replace(scenario_of(pipeliner=1), seconds=1.0)
    record = seen(ground, short, hostile=False)
    assert (record.counts["other logins"], record.faults) == (0, {})


def test_an_event_drops_clients_who_come_back(ground: Ground) -> None:
    scenario = msgspec.structs.replace(scenario_of(poll=1), event=(Event(at=0.4, do="drop"),))
    twice = 2 * scenario.sessions
    record = seen(ground, scenario, until=lambda record: record.counts["logins"] >= twice)
    assert record.faults == {}
    assert record.counts["logins"] >= twice


def test_the_number_of_sessions_is_bounded_by_descriptors() -> None:
    assert 0 < most_sessions() < 20_000


def test_clients_verify_what_they_connect_to(ground: Ground) -> None:
    assert client_context(ground.target.ca).check_hostname


def test_an_authority_that_is_not_there_is_told() -> None:
    with pytest.raises(Exception, match="nothing"):
        client_context("/nothing")
