"""A small backend is drained, then its shard's entry changed; everybody has to get out and in again."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.director_drain import drain_figures
from loadtest.slapd import missing


@pytest.mark.skipif(missing() != "", reason=missing())
def test_everybody_leaves_and_is_in_again_both_times() -> None:
    figures = {figure.name: figure.value for figure in drain_figures(asyncio.run, 12, 5)}
    for name in ("drain", "shard's entry changed"):
        assert figures[f"{name}: sessions that stayed"] == 0
        assert figures[f"{name}: clients left out"] == 0
        assert figures[f"{name}: refused too early"] == 0
        assert figures[f"{name}: everybody moved"] < float("inf")
        assert figures[f"{name}: workers"] > 0
