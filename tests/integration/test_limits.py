"""What one user and one address may have: the replies in all protocols, and what failed logins cost whom."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .logins import ACCEPTED, PROTOCOLS, Session, answer_to, enter, logged_in
from .operators import told
from .site import Site, User
from .vestibule import Vestibule
from .wait import wait_until

LIMITED = {"imap": b"a NO [LIMIT]", "pop3": b"-ERR [IN-USE]", "managesieve": b"NO (TRYLATER)"}

LIMITS = {
    "exempt": [],
    "sessions_per_user": 3,
    "sessions_per_address": 4,
    "sessions_per_pair": 2,
    "failures_free": 1,
    "penalty": 15.0,
    "penalty_most": 15.0,
}


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Vestibule]:
    """One worker, so that whoever holds it holds everybody up."""
    with site.vestibule({"director": {"limits": LIMITS}}, workers=1) as running:
        yield running


def refused(daemon: Vestibule, site: Site, user: User, protocol: str, source: str, limit: str) -> None:
    """A login is refused, by this limit."""
    assert answer_to(daemon, site, user, protocol, source).startswith(LIMITED[protocol])
    line = daemon.session(user=user.name, protocol=protocol, client=source, failure="limit")
    assert limit in line["detail"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_sessions_than_may_be_are_refused_until_one_ends(daemon: Vestibule, site: Site, protocol: str) -> None:
    user, others = site.user(), [site.user() for _ in range(3)]
    one, two, three = (f"127.1.{PROTOCOLS.index(protocol)}.{number}" for number in (1, 2, 3))
    with ExitStack() as stack:

        def stays(who: User, source: str) -> Session:
            return stack.enter_context(logged_in(daemon, site, who, protocol, source))

        first = stays(user, one)
        stays(user, one)
        refused(daemon, site, user, protocol, one, "sessions_per_pair")
        stays(user, two)
        refused(daemon, site, user, protocol, three, "sessions_per_user")
        for other in others[:2]:
            stays(other, one)
        refused(daemon, site, others[2], protocol, one, "sessions_per_address")
        rows = told(daemon, "limits", user.name)
        assert ("", 3) in {(row["address"], row["sessions"]) for row in rows}
        first.close()
        wait_until(lambda: answer_to(daemon, site, user, protocol, three).startswith(ACCEPTED[protocol]), "room")


def test_who_has_failed_waits_and_nobody_else(daemon: Vestibule, site: Site) -> None:
    user, other = site.user(), site.user()
    wrong = User(user.name, "wrong")
    assert answer_to(daemon, site, wrong, source="127.2.0.1").startswith(b"a NO [AUTHENTICATIONFAILED]")
    with ExitStack() as stack:
        waiting = [stack.enter_context(enter(daemon, site, source="127.2.0.1")) for _ in range(5)]
        for each in waiting:
            each.send(f'a LOGIN "{wrong.name}" "{wrong.password}"\r\n'.encode())
        wait_until(lambda: told(daemon, "limits", user.name), "the wait")
        for source in ("127.2.0.2", "127.2.0.3"):
            assert answer_to(daemon, site, other, source=source).startswith(b"a OK")
            assert answer_to(daemon, site, user, source=source).startswith(b"a OK")
        assert select.select([each.socket for each in waiting], [], [], 0)[0] == [], "they still wait"
    assert told(daemon, "flush", user.name)["forgiven"] == 1
    assert answer_to(daemon, site, user, source="127.2.0.1").startswith(b"a OK")
