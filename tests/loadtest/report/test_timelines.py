"""The series of one or two runs as plots over time."""

from __future__ import annotations

from loadtest.report.model import Group, Report, Series
from loadtest.report.timelines import timeline

from .example import MACHINE


def run(*series: Series) -> Report:
    return Report(title="", command="", scenario={}, began=0.0, seconds=60.0, machine=MACHINE, series=list(series))


def series(name: str, *values: float, group: Group = "cpu", unit: str = "cores") -> Series:
    return Series(name, group, unit, [float(at) for at in range(len(values))], list(values))


def test_without_series_there_is_no_plot() -> None:
    assert timeline("cpu", [run()]) == ""
    assert timeline("cpu", [run(series("empty"))]) == ""


def test_the_legend_tells_each_peak_and_the_unit() -> None:
    made = timeline("cpu", [run(series("worker", 0.2, 0.9), series("director", 0.1))])
    assert "</i>worker <b>0.9</b>" in made
    assert "</i>director <b>0.1</b>" in made
    assert "cores; figures: the peaks" in made


def test_latencies_are_told_as_durations_whatever_their_unit() -> None:
    made = timeline("latency", [run(series("p50", 2.0, group="latency", unit="ms"))])
    assert "<b>2 ms</b>" in made


def test_resident_memory_is_drawn_beside_its_process_and_not_named_again() -> None:
    made = timeline("memory", [run(series("w0", 9.0, group="memory"), series("w0 (RSS)", 20.0, group="memory"))])
    assert made.count('class="key"') == 1
    assert "solid: PSS, dotted: RSS" in made
    alone = timeline("memory", [run(series("w0 (RSS)", 20.0, group="memory"))])
    assert "w0 (RSS) <b>20</b>" in alone


def test_of_many_the_highest_are_drawn_and_the_others_counted() -> None:
    made = timeline("cpu", [run(*(series(f"p{number}", float(number)) for number in range(14)))])
    assert made.count('class="key"') == 10
    assert "4 more, none above 3" in made
    assert "</i>p4 " in made
    assert "</i>p3 " not in made


def test_two_runs_are_in_one_plot_and_one_of_them_may_lack_something() -> None:
    made = timeline("cpu", [run(series("worker", 0.5)), run(series("worker", 0.7), series("mirror", 0.1))])
    assert "worker <b>0.5 → 0.7</b>" in made
    assert "mirror <b>– → 0.1</b>" in made
    assert "dashed: the first run" in made
