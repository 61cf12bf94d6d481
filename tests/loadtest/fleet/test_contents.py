from __future__ import annotations

import msgspec
import pytest

from loadtest.content import compose
from loadtest.fleet import contents
from loadtest.fleet.clients import Visitor
from loadtest.fleet.ground import Ground
from loadtest.fleet.population import Client
from loadtest.fleet.tally import Snapshot
from tests.loadtest.fleet.work import fleet_on

OWN = compose("user0000000", 5, 1000)


def judged(ground: Ground, raw: bytes) -> Snapshot:
    with fleet_on(ground) as fleet:
        contents.read(Visitor(fleet, Client(0, 0, "read", 0.0)), raw)
        return fleet.tally.snapshot(0.0, 0.0)


def test_ones_own_mail_is_compared(ground: Ground) -> None:
    seen = judged(ground, OWN)
    assert (seen.counts, seen.faults) == ({"messages compared": 1}, {})


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (compose("user0000009", 5, 1000), "content: another user's mail"),
        (OWN[:-10], "content: altered"),
        (b"Subject: hello\r\n\r\n", "content: not of the load test"),
    ],
)
def test_anything_else_is_a_violation(ground: Ground, raw: bytes, kind: str) -> None:
    seen = judged(ground, raw)
    assert set(seen.faults) == {kind}
    assert seen.counts["violations"] == 1


def test_other_mail_at_a_real_server_is_only_counted(ground: Ground) -> None:
    real = Ground(msgspec.structs.replace(ground.target, known=False))
    seen = judged(real, b"Subject: hello\r\n\r\n")
    assert (seen.counts, seen.faults) == ({"other mail": 1}, {})
