"""Perdition as it is measured."""

from __future__ import annotations

from loadtest.compare.clients import Clients
from loadtest.compare.perdition import PERDITION, popmap
from loadtest.compare.surroundings import Surroundings

from .trial import login_answer, login_cost, trial


def test_it_finds_the_backend_and_leaves_the_password_to_it(around: Surroundings, fleet: Clients) -> None:
    with trial(PERDITION, around) as running:
        assert login_answer(around, running, "right").startswith(b"a OK")
        assert login_answer(around, running, "wrong").startswith(b"a OK"), "the backend takes any password"
        assert login_cost(PERDITION, running, around, fleet) > 0


def test_the_commas_of_the_searchers_name_do_not_end_it() -> None:
    expected = "3:ldap://127.0.0.1:389/ou=people,dc=example,dc=org?uid,mailHost?sub?(uid=%s)?!"
    assert popmap(389) == f"{expected}BINDNAME=cn=vestibule%2Cdc=example%2Cdc=org,X-BINDPW=service%20secret"
