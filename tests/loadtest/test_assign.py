"""What it costs to say where a user goes, measured on a small scale: whether it measures, not what."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from loadtest.assign import DirectorProcess, Worker, cost_figures, main, memory_figures, redis_server

GOALS = ("<= 15", "<= 20")


def test_both_processes_are_measured_and_gone_afterwards() -> None:
    with DirectorProcess() as director, Worker(director) as worker:
        costs = worker.cost([f"user{number}" for number in range(200)], 8)
        pid = director.pid
        assert Path(director.path).is_socket()
    assert min(costs.assign) > 0 < min(costs.release)
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(director.path).exists()


def test_figures_tell_the_processes_and_the_phases_apart() -> None:
    figures = cost_figures("memory", "memory", 50, 1, GOALS)
    assert [(figure.name, figure.goal) for figure in figures[:4]] == [
        ("memory, after a while: assign, worker, 1 at once", "<= 15"),
        ("memory, after a while: assign, director, 1 at once", "<= 20"),
        ("memory, after a while: release, worker, 1 at once", ""),
        ("memory, after a while: release, director, 1 at once", ""),
    ]
    assert len({figure.name for figure in figures}) == 3 * 2 * 2 * 2
    assert all(figure.value > 0 for figure in figures)


def test_memory_is_told_for_all_and_for_one() -> None:
    everything, one = memory_figures(5000)
    assert everything.value * (1 << 20) == pytest.approx(one.value * 5000)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="Debian package redis-server is not installed")
def test_a_redis_of_its_own_can_be_the_store() -> None:
    with redis_server() as url, DirectorProcess(url) as director, Worker(director) as worker:
        assert worker.cost(["alice", "bob"], 2, forget=True).assign.director > 0


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20", "--rounds", "1", "--users", "100"]) == 0
    printed = capsys.readouterr().out
    assert "memory, one more session: assign, director, 64 at once" in printed
    assert "memory: one assignment" in printed
