from __future__ import annotations

from io import StringIO

from rich.console import Console

from loadtest.fleet.attendance import Attendance
from loadtest.fleet.progress import EVERY, Lines, line, moment, panel, progress
from tests.loadtest.fleet.reports import made_up_record
from tests.loadtest.fleet.work import scenario_of

SCENARIO = scenario_of(idle=1)


def test_one_line_tells_how_it_goes() -> None:
    said = line(SCENARIO, 3.0, made_up_record())
    assert said.startswith("3 of 60 s: 3 logged in of 4, ")
    assert said.endswith("1 errors, 1 explained by events")


def test_the_audit_has_no_time() -> None:
    assert [moment(SCENARIO, now) for now in (-1.0, 61.0)] == ["0 of 60 s", "audit"]


def test_lines_come_every_few_seconds() -> None:
    said: list[str] = []
    lines = Lines(SCENARIO, said.append)
    for now in (-1.0, 0.0, 1.0, EVERY + 0.1, EVERY + 0.2):
        lines(now, made_up_record(), Attendance(1.0))
    assert len(said) == 2


def test_without_a_terminal_lines_are_printed() -> None:
    output = StringIO()
    with progress(SCENARIO, output) as watch:
        watch(1.0, made_up_record(), Attendance(1.0))
    assert output.getvalue().startswith("1 of 60 s")


def test_a_terminal_gets_a_table_with_states_and_errors() -> None:
    output = StringIO()
    Console(file=output, width=120).print(panel(SCENARIO, 1.0, made_up_record(), Attendance(1.0)))
    for words in ("idling", "login: refused", "alice: a1 NO [UNAVAILABLE]"):
        assert words in output.getvalue()
