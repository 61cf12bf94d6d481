"""Tokens: passed to the mail server, which judges them."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from .dovecot import Dovecot, token
from .logins import ACCEPTED, PROTOCOLS, answer_to, enter
from .site import ALICE, Site
from .vestibule import Vestibule

MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Vestibule]:
    """A daemon that offers tokens as well as passwords."""
    with site.vestibule({"auth": {"mechanisms": ["PLAIN", *MECHANISMS]}}) as running:
        yield running


def message(mechanism: str, user: str, bearer: str) -> bytes:
    """What a client sends."""
    if mechanism == "XOAUTH2":
        return f"user={user}\1auth=Bearer {bearer}\1\1".encode()
    return f"n,a={user},\1host=localhost\1port=993\1auth=Bearer {bearer}\1\1".encode()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_good_token_logs_in(site: Site, daemon: Vestibule, s2: Dovecot, protocol: str, mechanism: str) -> None:
    user = site.user("s2").name
    with enter(daemon, site, protocol) as session:
        assert session.sasl(mechanism, message(mechanism, user, token(user))).startswith(ACCEPTED[protocol])
        assert session.alive()
    s2.wait_for_log(rf"Login: user=<{user}>, method={mechanism}")


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    "bearer",
    [token("bob"), token("alice", seconds=-60), token("alice", secret=b"guessed"), token("alice", issuer="evil")],
    ids=["another user's", "expired", "forged", "of another issuer"],
)
def test_a_bad_token_is_refused_as_the_mechanism_has_it(
    site: Site, daemon: Vestibule, mechanism: str, bearer: str
) -> None:
    with enter(daemon, site) as session:
        challenge = session.sasl(mechanism, message(mechanism, ALICE.name, bearer))
        assert challenge.startswith(b"+ ")
        assert b'"status"' in base64.b64decode(challenge[2:])
        session.send(base64.b64encode(b"\1") + b"\r\n" if mechanism == "OAUTHBEARER" else b"\r\n")
        assert session.answer().startswith(b"a NO [AUTHENTICATIONFAILED]")
        assert session.plain(ALICE.name, ALICE.password).startswith(b"a OK")


def test_a_token_never_appears_in_the_log(site: Site, daemon: Vestibule) -> None:
    user = site.user("s1").name
    bearer = token(user)
    with enter(daemon, site) as session:
        session.sasl("XOAUTH2", message("XOAUTH2", user, bearer))
    assert daemon.session(user=user)["backend"] == "mb1"
    assert bearer not in daemon.log()


def test_without_being_configured_tokens_are_not_taken(site: Site, vestibule: Vestibule) -> None:
    with enter(vestibule, site) as session:
        assert b"OAUTH" not in session.greeting[-1]
        answer = session.sasl("XOAUTH2", message("XOAUTH2", ALICE.name, token(ALICE.name)))
        assert answer.startswith((b"a NO", b"a BAD"))
    assert answer_to(vestibule, site, ALICE).startswith(b"a OK")
