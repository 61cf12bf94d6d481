"""One small site of our own for all tests of this folder: starting it takes longer than any of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from loadtest.fleet.ground import Ground, own_ground
from loadtest.scale.plan import Plan

PLAN = Plan(steps=(6, 12), hold=0.3, push_every=0.2, rest=0.1)


@pytest.fixture
def plan() -> Plan:
    return PLAN


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    scenario = PLAN.scenario
    site = msgspec.structs.replace(scenario.site, extra=f"{scenario.site.extra}[auth]\nfailure_delay = 0\n")
    with own_ground(msgspec.structs.replace(scenario, site=site)) as ground:
        yield ground
