"""One site of our own for all tests of this folder: starting it takes longer than any of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.fleet.ground import Ground, own_ground
from tests.loadtest.fleet.work import scenario_of


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with own_ground(scenario_of(idle=1)) as ground:
        yield ground
