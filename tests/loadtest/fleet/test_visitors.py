from __future__ import annotations

import pytest

from loadtest.fleet.ground import Ground
from tests.loadtest.fleet.work import at_work


@pytest.mark.parametrize(
    ("behaviour", "wanted", "number"),
    [
        ("drain", "retrieved", 1),
        ("script", "scripts", 2),
        ("phone", "resumed", 1),
        ("wrong", "wrong passwords refused", 2),
        ("pipeliner", "pipelined", 100),
    ],
)
def test_a_client_that_comes_and_goes_does_its_work(ground: Ground, behaviour: str, wanted: str, number: int) -> None:
    seen = at_work(ground, behaviour, wanted, number, user=2)
    assert seen.faults == {}
    assert "violations" not in seen.counts
