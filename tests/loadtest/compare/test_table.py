"""The table in the terminal and in Markdown."""

from __future__ import annotations

from rich.console import Console

from loadtest.compare.table import Described, Told, best, cell, goal, markdown, notes, terminal
from loadtest.figures import Machine
from loadtest.report.model import Measure, Spread

MACHINE = Machine(2, "3.11.7", 20.0, 500.0, 0.1)

LOGIN = Measure(
    name="login",
    unit="µs CPU",
    goal=410,
    values={"Ours": Spread(400.0, 390.0, 420.0), "Theirs": Spread(500.0, 500.0, 500.0)},
    how="carefully | often",
)
BULK = Measure(name="bulk", unit="s", values={"Theirs": Spread(0.9, 0.9, 0.9)}, how="once")

TOLD = Told(
    MACHINE,
    3,
    [Described("Ours", "", "one worker"), Described("Theirs", "1.2", "a thread"), Described("Gone", "", "nothing")],
    [LOGIN, BULK],
    {"Gone": "not installed"},
    ["round 1: strange"],
)


def test_a_cell_is_the_median_with_the_range() -> None:
    assert cell(LOGIN.values["Ours"]) == "400 (390–420)"
    assert cell(LOGIN.values["Theirs"]) == "500"
    assert cell(None) == "-"


def test_the_best_is_the_least_unless_more_is_better_and_nobody_when_all_are_equal() -> None:
    values = {"a": Spread(1, 1, 1), "b": Spread(2, 2, 2)}
    assert best(Measure(name="", unit="", values=values), ["a", "b"]) == {"a"}
    assert best(Measure(name="", unit="", values=values, lower_is_better=False), ["a", "b"]) == {"b"}
    assert best(Measure(name="", unit="", values=values), ["b"]) == set()


def test_goals_are_shown_where_there_are_any() -> None:
    assert (goal(LOGIN), goal(BULK)) == ("≤ 410", "")


def test_who_was_not_measured_has_no_column() -> None:
    assert TOLD.columns == ["Ours", "Theirs"]


def test_markdown_is_a_whole_table_with_notes() -> None:
    lines = markdown(TOLD).splitlines()
    assert "|  | unit | goal | Ours | Theirs |" in lines
    assert "| login | µs CPU | ≤ 410 | **400 (390–420)** | 500 |" in lines
    assert "| bulk | s |  | - | 0.9 |" in lines
    assert "- Theirs (1.2): a thread" in lines
    assert lines[-2:] == ["- round 1: strange", "- left out: Gone: not installed"]


def test_every_figure_says_how_it_was_taken() -> None:
    assert {"login: carefully | often", "bulk: once"} <= set(notes(TOLD))
    assert notes(TOLD)[0] == f"Machine: {MACHINE}"


def test_the_terminal_shows_all_of_it() -> None:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(terminal(TOLD))
    shown = captured.get()
    assert all(word in shown for word in ("login", "400 (390–420)", "Theirs", "≤ 410", "3 rounds"))
