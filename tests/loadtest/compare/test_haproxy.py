"""HAProxy as it is measured."""

from __future__ import annotations

from loadtest.compare.clients import Clients
from loadtest.compare.haproxy import HAPROXY
from loadtest.compare.surroundings import Surroundings

from .trial import login_answer, login_cost, trial


def test_it_relays_and_asks_nobody(around: Surroundings, fleet: Clients) -> None:
    with trial(HAPROXY, around) as running:
        assert login_answer(around, running, "wrong") == b"a OK done\r\n"
        assert login_cost(HAPROXY, running, around, fleet) > 0
