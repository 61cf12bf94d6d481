from __future__ import annotations

from loadtest.fleet.attendance import Attendance
from loadtest.simulated import Presence


def seen(at: float, backend: str, came: bool) -> Presence:
    return Presence(at, "alice", backend, "imap", came)


def test_sessions_are_counted_now_at_most_and_in_all() -> None:
    attendance = Attendance(1.0)
    attendance.note([seen(1, "a", True), seen(2, "a", True), seen(3, "a", False)], 3.5)
    attendance.note([seen(4, "a", True), seen(5, "a", False)], 6.0)
    assert (attendance.now["a"], attendance.most["a"], attendance.logins["a"]) == (1, 2, 3)
    assert attendance.failures(9.0) == []


def test_who_is_at_two_backends_too_long_is_found() -> None:
    attendance = Attendance(1.0)
    attendance.note([seen(1, "a", True), seen(2, "b", True), seen(5, "a", False)], 6.0)
    found = attendance.failures(9.0)
    assert [(one.first, one.second, one.seconds) for one in found] == [("a", "b", 3)]
