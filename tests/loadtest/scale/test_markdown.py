from __future__ import annotations

from loadtest.scale.markdown import markdown
from loadtest.scale.outcome import End
from tests.loadtest.scale.examples import census_of, outcome_of, step_of
from tests.loadtest.scale.test_results import PLAN, report_of


def test_there_is_a_row_for_each_step() -> None:
    outcome = outcome_of(step_of(1_000), step_of(5_000, opened=4_000))
    lines = markdown(PLAN, outcome, report_of(outcome)).splitlines()
    assert lines[2].startswith("| 1,000 | 16.0 KiB | 8.0 KiB | ")
    assert lines[3].startswith("| 5,000 | 16.0 KiB | 8.0 KiB | 250 µs | 400 | 100 ms / 200 ms | 0.10 cores | 10,000 |")
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_checks_and_the_end_are_told() -> None:
    end = End(emptied=1.5, returned=None, left={"clients": 1.0}, census=census_of())
    outcome = outcome_of(step_of(1_000), end=end)
    text = markdown(PLAN, outcome, report_of(outcome))
    assert "counters at 0 after 1.5 s, memory back after longer than was waited" in text
    assert "- **FAILED**: counters return to 0: clients: 1" in text
    assert "0.10 cores, 3 messages fetched" in text


def test_a_run_that_was_interrupted_early_has_a_table_as_well() -> None:
    outcome = outcome_of(step_of(1_000), hold=None, end=None)
    assert "held for" not in markdown(PLAN, outcome, report_of(outcome))
