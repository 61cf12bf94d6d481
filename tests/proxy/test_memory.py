"""Memory is given back after many sessions have ended, and not after each."""

from __future__ import annotations

import ctypes

import pytest

from proxy.memory import Trimmer


def end(trimmer: Trimmer, sessions: int) -> None:
    """So many sessions end."""
    for _ in range(sessions):
        trimmer.ended()


def test_few_ended_sessions_are_not_worth_it_and_many_are() -> None:
    trimmer = Trimmer()
    assert not trimmer.sweep()
    end(trimmer, 10)
    assert not trimmer.sweep()
    end(trimmer, 1000)
    assert trimmer.sweep()


def test_after_a_trim_the_count_begins_anew() -> None:
    trimmer = Trimmer()
    end(trimmer, 1000)
    assert trimmer.sweep()
    assert not trimmer.sweep()
    end(trimmer, 10)
    assert not trimmer.sweep()


def test_some_are_worth_it_when_no_more_follow() -> None:
    trimmer = Trimmer()
    end(trimmer, 100)
    assert not trimmer.sweep()
    end(trimmer, 1)
    assert not trimmer.sweep()
    assert trimmer.sweep()


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    trimmer = Trimmer()
    end(trimmer, 1000)
    assert not trimmer.sweep()
