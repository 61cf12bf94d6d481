"""Drawings that take their colours from whoever shows them."""

from __future__ import annotations

from loadtest.report.svg import SERIES, VARIABLES, Colour, drawing, markup

from .example import parsed

SVG = "{http://www.w3.org/2000/svg}"


def drawn(name: str = "one", words: str = "words") -> str:
    figure = drawing(200, 100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.plot([0, 1, 2], [3, 1, 2], color=SERIES[0])
    axes.scatter([1], [2], color=SERIES[1])
    axes.text(1, 2, words, color=Colour.INK, fontweight="bold")
    return markup(figure, name=name, title="Title", text=f"Told: {words}")


def test_the_colours_are_the_pages_own() -> None:
    svg = drawn()
    assert "stroke: var(--c0)" in svg
    assert "fill: var(--ink)" in svg
    assert not any(placeholder in svg for placeholder in VARIABLES)


def test_it_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    root = parsed(drawn())
    assert root.get("role") == "img"
    names = (root.get("aria-labelledby") or "").split()
    labels = {element.get("id"): element.text for element in root[:2]}
    assert [labels[name] for name in names] == ["Title", "Told: words"]


def test_text_stays_text_whatever_it_holds() -> None:
    for words in ("<script>&\"'", "$x^2$ costs $5", "#0000e0", "日本"):
        texts = [element.text for element in parsed(drawn(words=words)).iter(f"{SVG}text")]
        assert words in texts


def test_it_names_no_font_and_the_page_chooses() -> None:
    svg = drawn()
    assert "font-family" not in svg
    assert "DejaVu" not in svg
    assert "font-weight: " in svg


def test_two_in_a_page_share_no_identifier() -> None:
    ids = [{e.get("id") for e in parsed(drawn(name)).iter() if e.get("id")} for name in ("one", "two")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_what_refers_to_another_element_finds_it() -> None:
    root = parsed(drawn())
    ids = {element.get("id") for element in root.iter()}
    uses = [element.get("href", "").removeprefix("#") for element in root.iter(f"{SVG}use")]
    clips = [e.get("clip-path", "")[5:-1] for e in root.iter() if e.get("clip-path")]
    assert uses
    assert clips
    assert {*uses, *clips} <= ids


def test_the_same_drawing_gives_the_same_text() -> None:
    assert drawn() == drawn()
