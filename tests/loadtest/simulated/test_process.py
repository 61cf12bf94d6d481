"""A process of a simulated site, held by its parent."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from loadtest.simulated.messages import Kill, Tell, Wanted, Work
from loadtest.simulated.process import MOST_NEWS, SiteFailed, SiteProcess


@contextmanager
def running(work: Work, most: int = MOST_NEWS) -> Iterator[SiteProcess]:
    process = SiteProcess("backends", work, most)
    process.begin()
    try:
        yield process
    finally:
        process.close()


def work(address: str = "127.0.0.1") -> Work:
    return Work(backends=[Wanted("a", address, "a")])


def log_in(process: SiteProcess, *users: str) -> None:
    """Sessions that come and go."""
    for user in users:
        with closing(socket.create_connection(("127.0.0.1", process.ready()["a"]["pop3"]), 30)) as sock:
            file = sock.makefile("rb")
            sock.sendall(f"USER {user}\r\nPASS x\r\nQUIT\r\n".encode())
            assert file.read().endswith(b"+OK Bye.\r\n")


def test_nothing_is_lost_and_nothing_told_twice_not_even_at_the_end() -> None:
    with running(work()) as process:
        log_in(process, "user1", "user2")
        assert [presence.user for presence in process.drain() if presence.came] == ["user1", "user2"]
        log_in(process, "user3")
        with closing(socket.create_connection(("127.0.0.1", process.ready()["a"]["pop3"]), 30)) as stays:
            stays.sendall(b"USER user4\r\nPASS x\r\n")
            file = stays.makefile("rb")
            while not file.readline().startswith(b"+OK Logged in."):
                pass
            assert process.logins() == {"a": 4}
            process.close()
    rest = process.drain()
    assert [(presence.user, presence.came) for presence in rest][-2:] == [("user4", True), ("user4", False)]
    assert sum(presence.came for presence in rest) == 2
    assert (process.drain(), process.logins()) == ([], {"a": 4})


def test_what_nobody_asks_for_is_not_kept_without_end() -> None:
    with running(work(), most=3) as process:
        log_in(process, "user1", "user2")
        with pytest.raises(SiteFailed, match="1 presences were not asked for in time"):
            process.drain()
        assert process.logins() == {"a": 2}


def test_an_address_that_is_not_ours_is_said_to_be_the_reason() -> None:
    with running(work("192.0.2.1")) as process, pytest.raises(SiteFailed, match="assign requested address"):
        process.ready()


def test_a_process_that_dies_is_missed() -> None:
    with running(work()) as process:
        process.ready()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(SiteFailed, match="backends: "):
            process.drain()
        with pytest.raises(SiteFailed, match="backends: "):
            process.order(Kill, "a")
        with pytest.raises(SiteFailed, match="backends: "):
            process.order(Tell)
