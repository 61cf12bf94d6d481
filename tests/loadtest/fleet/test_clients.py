from __future__ import annotations

from loadtest.fleet.clients import Visitor, source_address
from loadtest.fleet.ground import Ground
from loadtest.fleet.imap import Imap
from loadtest.fleet.population import Client
from tests.loadtest.fleet.work import fleet_on, run_until


def test_source_addresses_differ_and_are_none_of_the_servers() -> None:
    addresses = [source_address(number) for number in range(60_000)]
    assert len(set(addresses)) == len(addresses)
    assert not any(address.startswith("127.0.") for address in addresses)
    assert all(0 < int(part) < 255 for address in addresses for part in address.split("."))


def test_states_follow_a_client_through_its_visit(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        visitor = Visitor(fleet, Client(7, 7, "read", 0.0))
        seen: list[dict[str, int]] = []

        async def visit() -> None:
            await visitor.log_in(Imap)
            seen.append({state: number for state, number in fleet.tally.states.items() if number})
            visitor.leave()
            visitor.be("")

        fleet.engine.spawn(visit())
        run_until(fleet, lambda: not fleet.engine.jobs)
        assert seen == [{"imap": 1}]
        assert +fleet.tally.states == {}
        snapshot = fleet.tally.snapshot(0.0, 0.0)
    assert {"connect", "tls", "greeting", "login", "arrival"} == set(snapshot.latencies)
    assert snapshot.counts["received"] > 0


def test_what_an_event_explains_is_no_error_but_a_violation_always_is(ground: Ground) -> None:
    with fleet_on(ground) as fleet:
        visitor = Visitor(fleet, Client(8, 8, "read", 0.0))
        visitor.fails("login: refused", "NO")
        visitor.wrong("content: altered", "number 1")
        snapshot = fleet.tally.snapshot(0.0, 0.0)
    assert set(snapshot.faults) == {"login: refused", "content: altered"}
    assert snapshot.counts == {"violations": 1}
