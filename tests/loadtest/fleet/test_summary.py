from __future__ import annotations

from io import StringIO

from loadtest.fleet.summary import show
from tests.loadtest.fleet.reports import made_up


def test_everything_is_told_in_a_few_lines_with_brackets_as_they_are() -> None:
    output = StringIO()
    show(made_up(), output)
    text = output.getvalue()
    for words in ("ran for 10 s", "TLS resumption", "arrival", "250", "s1b", "alice: a1 NO [UNAVAILABLE]", "FAILED"):
        assert words in text
    assert "1 [bad] thing" in text


def test_an_interrupted_run_says_so() -> None:
    output = StringIO()
    show(made_up(interrupted=True), output)
    assert "interrupted after 10 s" in output.getvalue()
