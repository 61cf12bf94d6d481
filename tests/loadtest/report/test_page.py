"""A report as one HTML file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from loadtest.figures import Figure
from loadtest.report.model import Check, ErrorCount, Latency, Measure, Report, Series, Share, Spread
from loadtest.report.page import flat, page

from .example import MACHINE, report

HOSTILE = "</svg><script>alert(1)</script>$\\frac{\x1b\x00"
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Elements, attributes and text of a page; that every element is closed is asserted."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    """Of a report with everything in it."""
    return page(report(seed=8, held=False))


@pytest.fixture(scope="module")
def whole(html: str) -> Outline:
    """The same, read."""
    return Outline(html)


def empty(**fields: object) -> Report:
    bare = Report(title="bare", command="", scenario={}, began=0.0, seconds=1.0, machine=MACHINE)
    return msgspec.structs.replace(bare, **fields)


def test_everything_a_report_holds_is_on_the_page(whole: Outline) -> None:
    text = " ".join(whole.text)
    for words in (
        "reconnect: 2,000 sessions, a backend dies",
        "1 of 3 checks did not hold",
        "41,233",
        "goal ≤ 0.41",
        "Login CPU",
        "median of 7 interleaved rounds",
        "Sessions",
        "vestibule-w1",
        "imap.idle: connection reset by peer",
        "imap-3b",
        "behaviours.idle",
        "SHA-512",
        "vestibule loadtest run reconnect",
    ):
        assert words in text


def test_it_loads_nothing_and_runs_nothing(whole: Outline) -> None:
    assert not whole.tags & {"script", "link", "img", "iframe", "object", "image"}
    for name, value in whole.attributes:
        assert not name.startswith("on")
        assert name not in ("href", "src") or value.startswith("#")
        assert "url(" not in value or "url(#" in value


def test_no_identifier_is_there_twice(whole: Outline) -> None:
    ids = [value for name, value in whole.attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_it_is_small(html: str) -> None:
    assert len(html.encode()) < 250_000


def test_whatever_a_run_wrote_is_only_text() -> None:
    hostile = empty(
        title=HOSTILE,
        command=HOSTILE,
        scenario={HOSTILE: {HOSTILE: [HOSTILE]}},
        figures=[Figure(HOSTILE, 1.0, HOSTILE, HOSTILE, HOSTILE)] * 14,
        series=[Series(HOSTILE, "cpu", HOSTILE, [0.0], [1.0])],
        latencies=[Latency(HOSTILE, 1, 1.0, 1.0, 1.0, 1.0, 1.0)],
        errors=[ErrorCount(HOSTILE, 1, 0.0, HOSTILE)],
        distribution=[Share(HOSTILE, HOSTILE, 1, 1)],
        checks=[Check(HOSTILE, False, HOSTILE)],
        measures=[Measure(HOSTILE, HOSTILE, values={HOSTILE: Spread(1.0, 1.0, 1.0)}, how=HOSTILE)],
    )
    html = page(hostile)
    assert "script" not in Outline(html).tags
    assert not re.search("[\x00\x1b]", html)


def test_a_report_of_nothing_has_a_page_too() -> None:
    outline = Outline(page(empty()))
    assert "svg" in outline.tags  # the arch
    assert "Measured; nothing was to be checked" in outline.text
    assert not {"Errors", "Over time"} & set(outline.text)


def test_an_interrupted_run_says_so() -> None:
    assert "Interrupted: this is what was measured until then." in Outline(page(empty(interrupted=True))).text


def test_what_has_no_tile_any_more_is_in_a_table() -> None:
    figures = [Figure(f"figure {number}", 1.0, "", "", "") for number in range(13)]
    html = page(empty(figures=figures))
    assert html.count('class="tile"') == 12
    assert "<td>figure 12</td>" in html


def test_a_setting_is_named_by_its_whole_path() -> None:
    values = {"users": 5, "arrivals": {"kind": "ramp", "at": {"seconds": [1, 2]}}}
    assert dict(flat(values)) == {"users": "5", "arrivals.kind": "ramp", "arrivals.at.seconds": "[1, 2]"}
