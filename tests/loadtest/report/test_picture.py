"""A picture of measures side by side."""

from __future__ import annotations

import random

from loadtest.report.model import Measure, Spread
from loadtest.report.picture import PICTURE, drawn, picture
from loadtest.report.svg import VARIABLES, Colour

from .example import PRODUCTS, measures, parsed

SVG = "{http://www.w3.org/2000/svg}"
MEASURES = measures(random.Random(1))
PICTURED = picture(MEASURES)


def measure(**medians: float) -> Measure:
    return Measure("login", "ms", values={name: Spread(value, value, value) for name, value in medians.items()})


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter(f"{SVG}text")]


def test_it_shows_every_product_of_every_measure_with_its_median_and_goal() -> None:
    shown = texts(PICTURED)
    for each in MEASURES:
        assert each.name in shown
    assert all(shown.count(product) == len(MEASURES) for product in PRODUCTS)
    assert {"0.392", "0.78", "goal 0.41", "556"} <= set(shown)
    assert "one core, higher is better" in shown


def test_it_stands_alone_on_white_paper() -> None:
    root = parsed(PICTURED)
    assert root.find(f"{SVG}rect") is not None
    assert root.get("width")
    assert root.get("font-family")
    assert "var(" not in PICTURED
    assert not any(placeholder in PICTURED for placeholder in VARIABLES)


def test_in_a_page_it_has_the_colours_of_the_page() -> None:
    assert "var(--accent)" in drawn(MEASURES, name="measures", title="Side by side")


def test_ours_is_the_only_one_highlighted() -> None:
    svg = picture([measure(nginx=2.0, vestibule=1.0)])
    assert svg.count(f"fill: {PICTURE[Colour.ACCENT]}") == 1
    assert svg.count(f"fill: {PICTURE[Colour.QUIET]}") == 1


def test_a_bar_that_would_dwarf_the_others_is_cut_and_keeps_its_figure() -> None:
    cut = f"stroke: {PICTURE[Colour.PAPER]}"
    assert picture([measure(vestibule=14.0, perdition=556.0)]).count(cut) == 2
    assert "556" in texts(picture([measure(vestibule=14.0, perdition=556.0)]))
    assert picture([measure(vestibule=14.0, perdition=30.0)]).count(cut) == 0


def test_of_nothing_or_of_nothing_but_zeros_it_is_still_a_picture() -> None:
    for each in ([], [Measure("login", "ms")], [measure(vestibule=0.0, nginx=0.0)]):
        assert parsed(picture(each)).get("role") == "img"
