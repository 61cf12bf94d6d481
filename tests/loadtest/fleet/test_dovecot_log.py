from __future__ import annotations

import time
from pathlib import Path

import pytest

from loadtest.fleet.books import Books
from loadtest.fleet.dovecot_log import LoginLog, unix_time

LOGIN = (
    "{at} imap-login: Info: Login: user=<{user}>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=7, session=<{id}>\n"
)
END = "{at} imap({user})<7><{id}>: Info: Disconnected: Logged out in=1 out=2\n"


def at(second: float) -> str:
    return f"2026-01-02 10:00:{second:09.6f}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dovecot.log"
    path.write_text(LOGIN.format(at=at(0), user="old", id="0"))
    return path


def test_sessions_begin_and_end_as_the_log_says(path: Path) -> None:
    log = LoginLog("mb1", path, offset=-unix_time(at(0)))
    with path.open("a") as file:
        file.write(LOGIN.format(at=at(1), user="alice", id="a") + "2026-01-02 10:00:02 master: Warning: x\n")
        file.write(END.format(at=at(2.5), user="alice", id="a") + END.format(at=at(3), user="old", id="0"))
        file.write(LOGIN.format(at=at(4), user="bob", id="b")[:-20])
    seen = [(one.at, one.user, one.backend, one.protocol, one.came) for one in log.read()]
    assert seen == [(1.0, "alice", "mb1", "imap", True), (2.5, "alice", "mb1", "imap", False)]
    with path.open("a") as file:
        file.write(LOGIN.format(at=at(4), user="bob", id="b")[-20:])
    assert [one.user for one in log.read()] == ["bob"]
    log.close()


def test_a_log_that_is_rotated_is_followed(path: Path) -> None:
    log = LoginLog("mb1", path)
    path.rename(path.with_suffix(".1"))
    path.write_text(LOGIN.format(at=at(1), user="alice", id="a"))
    assert list(log.read()) == []
    assert [one.user for one in log.read()] == ["alice"]
    log.close()


def test_two_logs_are_books_enough_to_find_a_user_at_two_servers(tmp_path: Path) -> None:
    books = Books(0.5)
    for name, begins, ends in (("a", 1, 5), ("b", 3, 6)):
        path = tmp_path / name
        path.touch()
        log = LoginLog(name, path, offset=0.0)
        text = LOGIN.format(at=at(begins), user="alice", id=name) + END.format(at=at(ends), user="alice", id=name)
        path.write_text(text)
        for presence in log.read():
            books.note(presence)
        log.close()
    assert [(one.first, one.second, one.seconds) for one in books.failures()] == [("a", "b", 2.0)]


def test_a_time_without_a_year_is_the_latest_possible() -> None:
    now = time.time()
    text = time.strftime("%b %d %H:%M:%S", time.localtime(now))
    assert abs(unix_time(text) - now) < 2
    tomorrow = time.strftime("%b %d %H:%M:%S", time.localtime(now + 10 * 86_400))
    assert unix_time(tomorrow) < now


def test_a_log_of_syslogs_format_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "mail.log"
    path.touch()
    log = LoginLog("mb1", path)
    stamp = time.strftime("%b %d %H:%M:%S")
    path.write_text(f"{stamp} host dovecot: imap-login: Login: user=<alice>, method=PLAIN, session=<a>\n")
    assert [one.user for one in log.read()] == ["alice"]
    log.close()
