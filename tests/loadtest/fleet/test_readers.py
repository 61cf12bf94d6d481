from __future__ import annotations

import pytest

from loadtest.fleet.ground import Ground
from tests.loadtest.fleet.work import at_work


@pytest.mark.parametrize(
    ("behaviour", "wanted", "phases"),
    [
        ("idle", "pushed", {"arrival", "select", "fetch", "push"}),
        ("poll", "polled", {"arrival", "select", "noop"}),
        ("read", "messages compared", {"arrival", "select", "fetch"}),
        ("write", "messages compared", {"arrival", "select", "append", "fetch"}),
    ],
)
def test_a_client_that_stays_does_its_work(ground: Ground, behaviour: str, wanted: str, phases: set[str]) -> None:
    seen = at_work(ground, behaviour, wanted, number=2, user=1)
    assert seen.faults == {}
    assert phases <= set(seen.latencies)
    assert seen.counts["logins"] == 1
