from __future__ import annotations

from loadtest.fleet.record import MOST_POINTS, Record
from loadtest.fleet.tally import Snapshot, Tally


def told(process: int, at: float, *, logins: int = 0, inside: int = 0, last: bool = False) -> Snapshot:
    tally = Tally(process)
    tally.states["idling"] = inside
    tally.states["away"] = 1
    tally.count("logins", logins)
    for _ in range(logins):
        tally.took("arrival", 0.5)
    if logins:
        tally.fault("login: refused", at, f"of {process}")
    return tally.snapshot(at, 0.002, last=last)


def test_processes_are_added_up_over_time() -> None:
    record = Record(10)
    for snapshot in (told(0, 1.0, logins=2, inside=2), told(1, 1.2, logins=3, inside=3), told(0, 2.1, inside=4)):
        record.add(snapshot)
    assert record.counts["logins"] == 5
    assert record.inside() == [(1.0, 5), (2.0, 7)]
    assert record.states()["idling"] == 7
    assert record.latencies["arrival"].count == 5
    fault = record.faults["login: refused"]
    assert (fault.count, fault.first, fault.example) == (2, 1.0, "of 0")


def test_series_are_of_every_group_and_consistent() -> None:
    record = Record(10)
    for second in range(1, 5):
        record.add(told(0, float(second), logins=second, inside=second))
    series = {one.name: one for one in record.series()}
    assert series["idling"].values == [1, 2, 3, 4]
    assert series["logins"].values == [1, 2, 3, 4]
    assert series["login: refused"].group == "errors"
    assert series["arrival p99"].at == [1, 2, 3, 4]
    assert {one.group for one in series.values()} == {"sessions", "logins", "transfer", "latency", "errors"}


def test_the_audit_counts_but_is_not_shown_over_time() -> None:
    record = Record(10)
    record.add(told(0, 1.0, inside=1))
    record.add(told(0, 11.0, logins=1, last=True))
    assert record.counts["logins"] == 1
    assert len(record.inside()) == 1


def test_a_long_run_has_no_more_points_than_a_page_can_show() -> None:
    record = Record(86_400)
    for second in range(0, 86_400, 50):
        record.add(told(0, float(second), inside=1))
    assert len(record.inside()) <= MOST_POINTS


def test_what_is_recent_is_the_last_complete_second() -> None:
    record = Record(10)
    assert record.recent("arrival", "logins")[1] == 0.0
    record.add(told(0, 1.0, logins=4))
    record.add(told(0, 2.0, logins=1))
    histogram, rate = record.recent("arrival", "logins")
    assert (histogram.count, rate) == (4, 4.0)
