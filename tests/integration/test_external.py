"""Client certificates: SASL EXTERNAL at the proxy, its master user at the mail servers."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .dovecot import Dovecot
from .logins import ACCEPTED, IMPLICIT, PROTOCOLS, STARTTLS, Session, answer_to
from .site import ALICE, Site
from .vestibule import Vestibule


@pytest.fixture(scope="module")
def client_authority() -> ThrowawayAuthority:
    """Who signs the users' certificates; nobody else trusts it."""
    return ThrowawayAuthority("Users of the test site")


@pytest.fixture(scope="module")
def daemon(site: Site, client_authority: ThrowawayAuthority) -> Iterator[Vestibule]:
    """A daemon that takes client certificates."""
    ca_file = client_authority.write_ca(site.folder / "clients.pem")
    changes = {"auth": {"mechanisms": ["PLAIN", "EXTERNAL"]}, "backend_login": site.master()}
    with site.vestibule(changes, listener={"client_ca": ca_file}) as running:
        yield running


def presenting(site: Site, authority: ThrowawayAuthority, folder: Path, user: str) -> ssl.SSLContext:
    """The TLS context of a client with a certificate in which `user` is the common name."""
    files = authority.issue(folder, "client", common_name=user, client=True)
    context = site.trusting()
    context.load_cert_chain(files.chain, files.key)
    return context


def enter(daemon: Vestibule, protocol: str, context: ssl.SSLContext) -> Session:
    return Session(protocol, daemon.address, daemon.ports[IMPLICIT[protocol]], context)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_certificate_logs_its_user_in(
    site: Site,
    daemon: Vestibule,
    s2: Dovecot,
    client_authority: ThrowawayAuthority,
    tmp_path: Path,
    protocol: str,
) -> None:
    user = site.user("s2").name
    with enter(daemon, protocol, presenting(site, client_authority, tmp_path, user)) as session:
        assert session.sasl("EXTERNAL", b"").startswith(ACCEPTED[protocol])
        assert session.alive()
    s2.wait_for_log(rf"Login: user=<{user}>")


def test_a_certificate_works_after_starttls(
    site: Site, daemon: Vestibule, client_authority: ThrowawayAuthority, tmp_path: Path
) -> None:
    context = presenting(site, client_authority, tmp_path, site.user("s1").name)
    with Session("imap", daemon.address, daemon.ports[STARTTLS["imap"]]) as session:
        session.send(b"s STARTTLS\r\n")
        session.until(b"s OK")
        session.start_tls(context)
        assert session.sasl("EXTERNAL", b"").startswith(b"a OK")


def test_a_certificate_of_somebody_unknown_is_refused(
    site: Site, daemon: Vestibule, client_authority: ThrowawayAuthority, tmp_path: Path
) -> None:
    with enter(daemon, "imap", presenting(site, client_authority, tmp_path, "nobody-at-all")) as session:
        assert b"AUTHENTICATIONFAILED" in session.sasl("EXTERNAL", b"")


def test_a_certificate_does_not_let_its_user_act_for_others(
    site: Site, daemon: Vestibule, client_authority: ThrowawayAuthority, tmp_path: Path
) -> None:
    with enter(daemon, "imap", presenting(site, client_authority, tmp_path, ALICE.name)) as session:
        assert b"AUTHORIZATIONFAILED" in session.sasl("EXTERNAL", b"bob")


def test_a_certificate_of_a_stranger_ends_the_handshake(site: Site, daemon: Vestibule, tmp_path: Path) -> None:
    context = presenting(site, ThrowawayAuthority("a stranger"), tmp_path, ALICE.name)
    with pytest.raises((ssl.SSLError, ConnectionError, IndexError, EOFError)):
        enter(daemon, "imap", context).sasl("EXTERNAL", b"")


def test_without_a_certificate_external_is_refused_and_passwords_work(site: Site, daemon: Vestibule) -> None:
    with enter(daemon, "imap", site.trusting()) as session:
        assert b"AUTH=EXTERNAL" not in session.greeting[-1]
        assert session.sasl("EXTERNAL", b"alice").startswith((b"a NO", b"a BAD"))
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")
