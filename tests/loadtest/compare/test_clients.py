"""Orders to clients in processes of their own, against the backend itself."""

from __future__ import annotations

import pytest

from loadtest.compare.client import Place
from loadtest.compare.clients import Clients, ClientsFailed, clients
from loadtest.compare.surroundings import Surroundings


def test_sessions_are_shared_out_and_all_of_them_act(around: Surroundings, fleet: Clients) -> None:
    place = Place(around.imap, tls=False)
    assert len(fleet.open(place, 5, 5).seconds) == 5
    assert len(fleet.all("noop", each=3).seconds) == 15
    fleet.all("close")
    assert fleet.all("noop", each=3).seconds == []


def test_visits_come_from_one_process(around: Surroundings, fleet: Clients) -> None:
    outcome = fleet.visit(Place(around.imap, tls=False), 7, 3)
    assert (len(outcome.seconds), outcome.refused) == (7, 0)


def test_an_order_that_fails_tells_why_and_the_process_goes_on(around: Surroundings) -> None:
    with clients(around.certificate.chain, processes=1) as fleet:
        with pytest.raises(ClientsFailed, match="open: AttributeError"):
            fleet.open(None, 1, 1)  # type: ignore[arg-type]
        assert fleet.all("close").refused == 0
