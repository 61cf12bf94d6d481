"""TLS to the mail servers: a password is sent inside it or not at all."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tls import ThrowawayAuthority

from .dovecot import Dovecot
from .fake_backend import FakeBackend
from .logins import ACCEPTED, PROTOCOLS, answer_to
from .site import Site, User, new_dovecot, shard

REFUSED = {"imap": b"a NO [SERVERBUG]", "pop3": b"-ERR [SYS/PERM]", "managesieve": b"NO (TRYLATER/NORETRY)"}
"""The answer when the mail server is not as configured: nothing the user could mend."""

WITHOUT_TLS = {
    "imap": b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN ID] no TLS here\r\n",
    "pop3": b"+OK no TLS here\r\n",
    "managesieve": b'"IMPLEMENTATION" "fake"\r\n"SASL" "PLAIN"\r\n"VERSION" "1.0"\r\nOK "no TLS here"\r\n',
}

ANSWERS = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN ID\r\nTAG OK done\r\n",
    b"CAPA": b"+OK\r\nSASL PLAIN\r\nUSER\r\n.\r\n",
    b"STARTTLS": b"TAG BAD unknown command\r\n",
    b"STLS": b"-ERR unknown command\r\n",
}

INJECTED = {
    "imap": (b"STARTTLS", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\r\n", b"TAG OK begin\r\n* OK injected\r\n"),
    "pop3": (b"STLS", b"+OK hi\r\n", b"+OK begin\r\n+OK injected\r\n"),
    "managesieve": (b"STARTTLS", b'"STARTTLS"\r\n"SASL" ""\r\nOK "hi"\r\n', b'OK "begin"\r\nOK "injected"\r\n'),
}


@pytest.fixture(scope="module")
def misnamed(site: Site) -> Iterator[Dovecot]:
    """A mail server whose certificate is for another name."""
    certificate = site.authority.issue(site.folder, "misnamed", dns=["other.example"])
    with new_dovecot("misnamed", site.folder, site.authority, certificate=certificate) as dovecot:
        yield dovecot


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_both_ways_of_tls_work(site: Site, s1: Dovecot, user: User, protocol: str, tls: str) -> None:
    one = shard("s1", s1)
    if tls == "implicit":
        one["backend"][0]["ports"] = {
            "imap": s1.ports["imaps"],
            "pop3": s1.ports["pop3s"],
            "managesieve": s1.ports["sieves"],
        }
    with site.vestibule({"backend_login": {"tls": tls}, "shard": [one]}, workers=1) as daemon:
        assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
    assert ", TLS, " in s1.wait_for_log(rf"{protocol}-login: Info: Login: user=<{user.name}>.*")[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_certificate_for_another_name_is_not_accepted(
    site: Site, misnamed: Dovecot, user: User, protocol: str
) -> None:
    with site.vestibule({"shard": [shard("s1", misnamed)]}, workers=1) as daemon:
        assert answer_to(daemon, site, user, protocol).startswith(REFUSED[protocol])
        assert daemon.session(user=user.name)["failure"] == "backend_config"
    assert misnamed.logins(user.name) == []


def test_a_certificate_of_another_authority_is_not_accepted(site: Site, s1: Dovecot, user: User, folder: Path) -> None:
    stranger = ThrowawayAuthority("a stranger").write_ca(folder / "stranger.pem")
    with site.vestibule({"backend_login": {"ca_file": stranger}}, workers=1) as daemon:
        assert answer_to(daemon, site, user).startswith(REFUSED["imap"])
    assert s1.logins(user.name) == []


def test_an_unverified_certificate_is_accepted_where_the_operator_says_so(
    site: Site, s1: Dovecot, user: User, folder: Path
) -> None:
    login = {"verify": False, "ca_file": None}
    with site.vestibule({"backend_login": login}, workers=1) as daemon:
        assert answer_to(daemon, site, user).startswith(b"a OK")
    s1.wait_for_log(rf"Login: user=<{user.name}>")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_credentials_go_to_a_server_that_offers_no_tls(site: Site, user: User, protocol: str) -> None:
    with FakeBackend(WITHOUT_TLS[protocol], ANSWERS) as fake:
        with site.vestibule({"shard": [fake_shard(fake)]}, workers=1) as daemon:
            assert answer_to(daemon, site, user, protocol).startswith(REFUSED[protocol])
        assert_no_credentials(bytes(fake.heard), user)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_behind_the_reply_to_starttls_end_the_login(site: Site, user: User, protocol: str) -> None:
    command, greeting, reply = INJECTED[protocol]
    with FakeBackend(greeting, {command: reply}) as fake:
        with site.vestibule({"shard": [fake_shard(fake)]}, workers=1) as daemon:
            assert not answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
        assert_no_credentials(bytes(fake.heard), user)


def fake_shard(fake: FakeBackend) -> dict[str, object]:
    ports = dict.fromkeys(PROTOCOLS, fake.port)
    return {"name": "s1", "backend": [{"name": "fake", "host": fake.address, "ports": ports}]}


def assert_no_credentials(heard: bytes, user: User) -> None:
    """Neither the password nor the client's address has been sent, plain or in base64."""
    message = base64.b64encode(f"\0{user.name}\0{user.password}".encode())
    for secret in (user.password.encode(), user.name.encode(), message, b"x-originating-ip", b"XCLIENT"):
        assert secret not in heard
