"""Drawings of matplotlib as small SVG that takes its colours from whoever shows it.

Whoever draws uses the placeholders of `Colour`; `markup` puts a CSS variable or a fixed colour in their place, so the
same drawing suits a light page, a dark one and a picture. Text stays text, in the font of the page.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree  # reads nothing but what matplotlib has just written

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vestibule",
    "text.parse_math": False,  # of the texts that are made as it is drawn: a name may hold a dollar
    "path.simplify_threshold": 0.3,
}
_NOTHING_OF_ITS_OWN = {"Date": None, "Creator": None, "Format": None, "Type": None}
_FIGURES = re.compile(r"-?\d+\.\d+")
_FONT = re.compile(r"(?P<before>.*?)(?P<size>[\d.]+px)")


class Colour(StrEnum):
    """Placeholders: colours that no drawing uses for themselves."""

    INK = "#0000e0"
    MUTED = "#0000e1"
    GRID = "#0000e2"
    PAPER = "#0000e3"
    ACCENT = "#0000e4"
    QUIET = "#0000e5"
    GOAL = "#0000e6"


SERIES = tuple(f"#0000f{number}" for number in range(8))
"""Placeholders of as many colours that tell things apart; a drawing repeats them in another stroke."""

VARIABLES: Mapping[str, str] = {
    **{colour.value: f"var(--{colour.name.lower()})" for colour in Colour},
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES)},
}
"""Placeholder -> the page's own."""


def drawing(width: float, height: float) -> Figure:
    """An empty one, in units that are pixels where it is shown in full size."""
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def markup(figure: Figure, *, name: str, title: str, text: str, colours: Mapping[str, str] = VARIABLES) -> str:
    """The `<svg>` element; `title` and `text` are what a reader hears who does not see it.

    `name` keeps the identifiers of several in one page apart.
    """
    root = ElementTree.fromstring(_saved(figure))  # noqa: S314
    width, height = root.get("viewBox", "").split()[2:]
    _clean(root, name, colours)
    root.attrib = {
        "xmlns": _NAMESPACE[1:-1],
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-text",
        "stroke-linejoin": "round",
    }
    _label(root, name, title, text)
    return ElementTree.tostring(root, encoding="unicode")


def _saved(figure: Figure) -> str:
    out = io.StringIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs the page's font will have
        figure.savefig(out, format="svg", transparent=True, metadata=_NOTHING_OF_ITS_OWN)
    return out.getvalue()


def _clean(element: ElementTree.Element, name: str, colours: Mapping[str, str]) -> None:
    element.tag = element.tag.removeprefix(_NAMESPACE)
    element.tail = None
    element.text = element.text if element.tag == "text" else None
    element.attrib = {key: value for key, value in _attributes(element, name, colours) if value}
    for child in list(element):
        _clean(child, name, colours)
        if (
            child.tag in ("style", "metadata")
            or (child.tag in ("g", "defs") and not len(child))
            or _draws_nothing(child)
        ):
            element.remove(child)


def _draws_nothing(element: ElementTree.Element) -> bool:
    return element.tag == "path" and element.get("style") == "fill: none"


def _attributes(element: ElementTree.Element, name: str, colours: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for key, value in element.attrib.items():
        if key == "id":
            found.append((key, f"{name}-{value}" if element.tag in ("path", "clipPath") else ""))
        elif key == _LINK:
            found.append(("href", value.replace("#", f"#{name}-")))
        elif key == "style":
            found.append((key, _style(value, colours)))
        elif key in ("d", "x", "y"):
            found.append((key, " ".join(_FIGURES.sub(lambda match: f"{float(match[0]):.4g}", value).split())))
        else:
            found.append((key, "" if value.startswith("rotate(-0 ") else value.replace("url(#", f"url(#{name}-")))
    return found


def _style(style: str, colours: Mapping[str, str]) -> str:
    kept = []
    for declaration in style.split(";"):
        key, _, value = declaration.strip().partition(": ")
        if key == "font":  # what matplotlib before 3.10 writes
            font = _FONT.match(value)
            kept += [f"font-size: {font['size']}", "font-weight: bold" * ("bold" in font["before"])] if font else []
        elif key != "font-family":
            kept.append(f"{key}: {colours.get(value, value)}")
    return "; ".join(filter(None, kept))


def _label(root: ElementTree.Element, name: str, title: str, text: str) -> None:
    for place, (tag, words) in enumerate((("title", title), ("desc", text))):
        element = ElementTree.Element(tag, {"id": f"{name}-{'text' if place else 'title'}"})
        element.text = words
        root.insert(place, element)
