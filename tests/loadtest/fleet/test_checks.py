from __future__ import annotations

from typing import Any

from loadtest.fleet.books import Overlap
from loadtest.fleet.checks import back_after, baseline, checks
from loadtest.fleet.record import Record
from loadtest.fleet.scenario import parse
from loadtest.fleet.tally import Tally
from loadtest.report.model import Check


def judged(tally: Tally, overlaps: list[Overlap] | None = None, **scenario: Any) -> dict[str, Check]:
    record = Record(10)
    record.add(tally.snapshot(1.0, 0.0))
    table = {"title": "t", "mix": {"idle": 1}} | scenario
    return {check.name: check for check in checks(parse(table), record, overlaps)}


def good() -> Tally:
    tally = Tally(0)
    tally.count("logins", 100)
    tally.count("messages compared", 50)
    tally.took("arrival", 0.1)
    return tally


def test_a_run_without_fault_holds() -> None:
    found = judged(good(), [])
    assert set(found) == {"content", "one backend for each user", "errors"}
    assert all(check.held for check in found.values())


def test_where_nobody_saw_who_was_where_nothing_is_claimed() -> None:
    assert "one backend for each user" not in judged(good(), None)


def test_a_user_on_two_backends_fails_the_run() -> None:
    check = judged(good(), [Overlap("alice", "a", "b", 1.0, 3.0)])["one backend for each user"]
    assert not check.held
    assert "alice was on a and b for 3.00 s" in check.text


def test_lost_mail_fails_the_run_and_is_named() -> None:
    tally = good()
    tally.count("violations")
    tally.fault("content: acknowledged mail is lost", 1.0, "number 5")
    check = judged(tally)["content"]
    assert not check.held
    assert "acknowledged mail is lost: 1" in check.text


def test_errors_fail_the_run_unless_few_are_allowed_or_an_event_explains_them() -> None:
    tally = good()
    tally.fault("login: refused", 1.0, "NO")
    assert not judged(tally)["errors"].held
    tally = good()
    tally.fault("login: refused", 1.0, "NO")
    assert judged(tally, limits={"errors": 0.01})["errors"].held
    tally = good()
    tally.fault("login: refused", 1.0, "NO", explained=True)
    assert judged(tally)["errors"].held


def test_a_run_in_which_nothing_was_done_does_not_hold() -> None:
    assert not judged(Tally(0))["errors"].held


def test_hostile_clients_must_have_been_cut_off() -> None:
    tally = good()
    assert not judged(tally, limits={"cut_off": 5})["hostile clients are cut off"].held
    tally = good()
    tally.count("cut off")
    assert judged(tally, limits={"cut_off": 5})["hostile clients are cut off"].held
    tally = good()
    tally.count("cut off")
    tally.fault("hostile: silent was let stay", 1.0, "for 9 s")
    assert not judged(tally, limits={"cut_off": 5})["hostile clients are cut off"].held


def test_the_login_latency_has_a_limit() -> None:
    assert judged(good(), limits={"login_p99": 0.2})["login latency"].held
    assert not judged(good(), limits={"login_p99": 0.05})["login latency"].held
    assert not judged(Tally(0), limits={"login_p99": 0.05})["login latency"].held


def test_sessions_are_back_when_as_many_are_there_and_stay() -> None:
    before = [(float(at), 100) for at in range(10)]
    assert back_after([*before, (10, 99), (11, 100)], 10) == 0
    assert back_after([*before, (10, 40), (11, 97), (12, 60), (13, 98), (14, 99)], 10) == 3
    assert back_after([*before, (10, 40), (11, 60)], 10) is None
    assert back_after(before, 10) is None


def test_whether_sessions_are_back_is_told_for_each_event() -> None:
    event = [{"at": 1, "do": "kill", "backend": "s1a"}]
    check = judged(good(), event=event, limits={"back": 5})["sessions are back after kill s1a"]
    assert (check.held, check.text) == (False, "not in the time of the run")


def test_hostile_clients_may_slow_the_others_down_only_so_much() -> None:
    def run_of(seconds: float) -> Record:
        tally = Tally(0)
        tally.took("arrival", seconds)
        record = Record(10)
        record.add(tally.snapshot(1.0, 0.0))
        return record

    scenario = parse({"title": "t", "mix": {"idle": 1}, "limits": {"baseline_p99": 1.5}})
    quiet = [run_of(0.1), run_of(0.11), run_of(5.0)]
    assert baseline(scenario, quiet, [run_of(0.14), run_of(9.0), run_of(0.1)]).held
    check = baseline(scenario, quiet, [run_of(0.2)])
    assert not check.held
    assert "200.0 ms beside hostile clients (200.0 to 200.0), 110.0 ms without (100.0 to " in check.text
    assert not baseline(scenario, [Record(10)], quiet).held
