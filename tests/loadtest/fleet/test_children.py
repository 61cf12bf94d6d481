from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection as Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.fleet import children as module
from loadtest.fleet.children import Children, CrewFailed, children, heard, shares, wait_until_ready

READY = b"ready"


def repeat(pipe: Pipe) -> None:
    pipe.send_bytes(READY)
    try:
        while True:
            pipe.send_bytes(pipe.recv_bytes())
    except EOFError:
        pass


def say_nothing(pipe: Pipe) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def end_at_once(pipe: Pipe) -> None:
    pipe.recv_bytes()


def listen_for_ever(processes: Children) -> None:
    while True:
        heard(processes, 10)


def test_each_hears_its_post_and_has_ended_afterwards() -> None:
    with children(repeat, "parrot", [b"one", b"two"]) as parrots:
        assert [child.name for child in parrots.values()] == ["parrot-0", "parrot-1"]
        wait_until_ready(parrots)
        said: set[bytes] = set()
        while len(said) < 2:
            said |= {word for _, word in heard(parrots, 10)}
        assert said == {b"one", b"two"}
        assert heard(parrots, 0) == []
    assert [child.exitcode for child in parrots.values()] == [0, 0]


def test_who_is_not_ready_in_time_is_told_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", 0.1)
    monkeypatch.setattr(module, "END", 0.1)
    with pytest.raises(CrewFailed, match=r"not ready after 0\.1 s"), children(say_nothing, "mute", [b""]) as mutes:
        wait_until_ready(mutes)
    assert [child.exitcode for child in mutes.values()] == [-signal.SIGKILL]


def test_who_ends_before_its_time_is_told() -> None:
    with children(end_at_once, "gone", [b""]) as gone, pytest.raises(CrewFailed, match="before its time"):
        wait_until_ready(gone)
    with children(repeat, "killed", [b""]) as killed:
        wait_until_ready(killed)
        for child in killed.values():
            os.kill(child.pid or 0, signal.SIGKILL)
        with pytest.raises(CrewFailed, match="before its time"):
            listen_for_ever(killed)


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_shares_are_whole_and_even(count: int, parts: int) -> None:
    found = shares(count, parts)
    assert (len(found), sum(found)) == (parts, count)
    assert found[0] - found[-1] <= 1
    assert found == sorted(found, reverse=True)
