"""The product as it is measured: it serves, it asks the directory, and it can be measured."""

from __future__ import annotations

from loadtest.compare.clients import Clients
from loadtest.compare.dovecot import DOVECOT
from loadtest.compare.surroundings import Surroundings

from .trial import login_answer, login_cost, trial


def test_a_login_is_checked_by_the_directory_and_costs_something(around: Surroundings, fleet: Clients) -> None:
    with trial(DOVECOT, around) as running:
        assert login_answer(around, running, "right").startswith(b"a OK")
        assert login_answer(around, running, "wrong").startswith(b"a NO")
        assert login_cost(DOVECOT, running, around, fleet) > 0
        assert running.pss_kib() > 0
