from __future__ import annotations

import msgspec
import pytest

from loadtest.fleet import audit
from loadtest.fleet.clients import Visitor
from loadtest.fleet.ground import Ground
from loadtest.fleet.population import Client
from loadtest.fleet.readers import opened, write_one
from tests.loadtest.fleet.work import fleet_on, run_until


def test_what_was_written_is_found_and_what_was_not_is_lost(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        writer = Visitor(fleet, Client(5, 5, "write", 0.0))

        async def write() -> None:
            await write_one(writer, await opened(writer))
            writer.leave()

        fleet.engine.spawn(write())
        run_until(fleet, lambda: not fleet.engine.jobs)
        fleet.ledger.acknowledged(fleet.accounts.account(6).user, 4711)
        audit.begin(fleet, [5, 6])
        run_until(fleet, lambda: not fleet.engine.jobs)
        seen = fleet.tally.snapshot(0.0, 0.0)
    assert (seen.counts["audited users"], seen.counts["audited messages"]) == (2, 1)
    assert seen.faults["content: acknowledged mail is lost"].example == "user0000006: number 4711"


def test_a_mailbox_that_cannot_be_opened_is_an_error_and_not_a_loss(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "TRIES", 1)
    nowhere = Ground(msgspec.structs.replace(ground.target, ports={"imap": 1}))
    with fleet_on(nowhere) as fleet:
        audit.begin(fleet, [5])
        run_until(fleet, lambda: not fleet.engine.jobs)
        assert set(fleet.tally.snapshot(0.0, 0.0).faults) == {"audit: connect: connection lost"}
