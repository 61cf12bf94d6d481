"""What a terminal gets, and what a file or another program gets."""

from __future__ import annotations

import io
import os
import sys

import pytest

from proxy.screen import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def sit_down(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Within a test: pytest puts its own standard output in place when the test begins."""
    made = Terminal()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((20, 24)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return made


def test_a_terminal_has_a_width_and_colours_unless_they_are_unwanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sit_down(monkeypatch)
    screen = Screen()
    assert (screen.width, screen.coloured) == (20, True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not screen.coloured
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not screen.coloured


def test_anything_else_has_neither(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    assert (screen.width, screen.coloured) == (0, False)
    screen.show(["a", "b"])
    screen.show_json({"n": 1})
    assert capsys.readouterr().out == 'a\nb\n{\n  "n": 1\n}\n'


def test_on_a_terminal_progress_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit_down(monkeypatch)
    screen = Screen()
    for line in ("one", "one", "t" * 30):
        screen.progress(line)
    screen.settle()
    screen.settle()
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[K" + "t" * 19 + "\n"


def test_elsewhere_it_is_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    for line in ("one", "one", "two"):
        screen.progress(line)
    screen.settle()
    assert capsys.readouterr().out == "one\ntwo\n"


def test_what_is_watched_is_shown_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit_down(monkeypatch)
    Screen().refresh(["a", "b"])
    assert terminal.getvalue() == "\x1b[H\x1b[Ja\nb\n"


def test_and_elsewhere_again_when_it_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    for lines in (["a"], ["a"], ["b"]):
        screen.refresh(lines)
    assert capsys.readouterr().out == "a\nb\n"


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_only_a_yes_is_a_yes(monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool) -> None:
    terminal = sit_down(monkeypatch)
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert Screen().agreed("go on?") is agreed
    assert terminal.getvalue() == "go on? [y/N] "


def test_where_nobody_sits_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit_down(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert Screen().agreed("go on?")
    assert terminal.getvalue() == ""
