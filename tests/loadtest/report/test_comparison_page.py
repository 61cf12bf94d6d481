"""Two reports beside each other as one HTML file."""

from __future__ import annotations

import pytest

from loadtest.report.comparison import compare
from loadtest.report.comparison_page import comparison_page
from loadtest.report.model import Report

from .example import MACHINE, report
from .test_page import Outline


@pytest.fixture(scope="module")
def outline() -> Outline:
    """Of a run and a slower one."""
    return Outline(comparison_page(compare(report(seed=8), report(seed=8, slower=1.5, held=False))))


def test_both_runs_are_told_with_what_changed(outline: Outline) -> None:
    text = " ".join(outline.text)
    for words in (
        "First",
        "Second",
        "login CPU",
        "0.588 ms",
        "1.50",
        "✗ worse",
        "vestibule-w0",
        "dashed: the first run",
    ):
        assert words in text


def test_it_loads_nothing_and_names_nothing_twice(outline: Outline) -> None:
    assert not outline.tags & {"script", "link", "img"}
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_two_reports_of_nothing_have_a_page_too() -> None:
    nothing = Report(title="<i>", command="", scenario={}, began=0.0, seconds=1.0, machine=MACHINE)
    page = Outline(comparison_page(compare(nothing, nothing)))
    assert "<i>: two runs" in " ".join(page.text)
    assert "i" not in page.tags
