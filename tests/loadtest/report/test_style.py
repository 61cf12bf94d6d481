"""The style of a page."""

from __future__ import annotations

from loadtest.report.style import STYLE
from loadtest.report.svg import VARIABLES


def test_every_colour_of_a_drawing_is_there_in_light_and_in_dark() -> None:
    light, dark = STYLE.split("@media screen and (prefers-color-scheme:dark)")
    for variable in VARIABLES.values():
        assert f"{variable[4:-1]}:#" in light
        assert f"{variable[4:-1]}:#" in dark.split("}}")[0] or variable == "var(--paper)"


def test_it_needs_nothing_from_elsewhere() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert STYLE.count("{") == STYLE.count("}")
