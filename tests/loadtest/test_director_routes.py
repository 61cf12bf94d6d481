"""Users are moved by the directory, and followed; what the figures are is not asserted."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.director_routes import route_figures
from loadtest.slapd import missing


@pytest.mark.skipif(missing() != "", reason=missing())
def test_sessions_and_the_next_login_are_followed() -> None:
    figures = {figure.name: figure.value for figure in route_figures(asyncio.run, 2)}
    assert len(figures) == 9
    assert figures["route: next login is in, min"] > 0
    assert figures["route: last session left, min"] <= figures["route: last session left, max"]
