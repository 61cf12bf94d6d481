"""CPU and memory of processes over time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from loadtest.report.model import Series
from loadtest.report.sampling import Sampler

CHILDREN = """
import os, sys
for number in range(2):
    if not os.fork():
        open("/proc/self/comm", "w").write("daemon-w0")
        os.write(1, b"ready\\n")
        sys.stdin.read()
        os._exit(0)
sys.stdin.read()
"""


@pytest.fixture
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    """A process with two children that call themselves alike; all end with its input."""
    process = subprocess.Popen([sys.executable, "-c", CHILDREN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == b"ready\n"
    yield process
    process.communicate(b"")


def named(series: list[Series], group: str) -> dict[str, Series]:
    return {each.name: each for each in series if each.group == group}


def test_each_process_of_a_tree_has_a_series_of_its_own(daemon: subprocess.Popen[bytes]) -> None:
    sampler = Sampler({"daemon": daemon.pid})
    for at in (0.0, 1.0, 2.5):
        sampler.sample(at)
    cpu, memory = named(sampler.series(), "cpu"), named(sampler.series(), "memory")
    assert set(cpu) == {"daemon", "daemon-w0", "daemon-w0 2"}
    assert set(memory) == set(cpu) | {f"{name} (RSS)" for name in cpu}
    assert cpu["daemon"].at == [1.0, 2.5]
    assert memory["daemon (RSS)"].at == [0.0, 1.0, 2.5]
    assert memory["daemon (RSS)"].values[0] > memory["daemon"].values[0] > 0.5


def test_a_root_below_another_is_a_tree_of_its_own(daemon: subprocess.Popen[bytes]) -> None:
    sampler = Sampler({"fleet": os.getpid(), "proxy": daemon.pid})
    sampler.sample(0.0)
    names = set(named(sampler.series(), "cpu"))
    assert {"fleet", "proxy", "proxy daemon-w0", "proxy daemon-w0 2"} <= names
    assert not any(name.startswith("fleet daemon") for name in names)


def test_cpu_is_what_was_used_between_two_samples() -> None:
    sampler = Sampler({"test": os.getpid()})
    began = sum(os.times()[:2])
    sampler.sample(0.0)
    while sum(os.times()[:2]) - began < 0.1:
        sum(range(10000))
    sampler.sample(0.5)
    sampler.sample(0.5)
    cores, none = named(sampler.series(), "cpu")["test"].values
    assert cores >= 0.1
    assert none == 0.0


def test_what_is_gone_is_not_sampled_any_more(daemon: subprocess.Popen[bytes]) -> None:
    sampler = Sampler({"daemon": daemon.pid})
    sampler.sample(0.0)
    daemon.communicate(b"")
    sampler.sample(1.0)
    assert named(sampler.series(), "cpu")["daemon"].at == []
    assert named(sampler.series(), "memory")["daemon"].at == [0.0]


def test_a_long_run_is_thinned_and_keeps_what_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.report.sampling._MOST_SAMPLES", 40)
    sampler = Sampler({"test": os.getpid()})
    began = sum(os.times()[:2])
    for at in range(150):
        sampler.sample(float(at))
    spent = sum(os.times()[:2]) - began
    cpu = named(sampler.series(), "cpu")["test"]
    assert 15 < len(cpu.at) < 41
    steps = [after - before for before, after in zip([0.0, *cpu.at], cpu.at, strict=False)]
    assert abs(sum(step * cores for step, cores in zip(steps, cpu.values, strict=True)) - spent) < 0.05 + spent / 10
