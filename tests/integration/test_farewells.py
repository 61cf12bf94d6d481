"""The end of sessions that are logged in, with a real Dovecot behind: a farewell between two responses, or no word."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from .clients import imap_plain
from .dovecot import Dovecot
from .logins import logged_in
from .site import ALICE, Site, User
from .vestibule import Vestibule
from .wait import wait_until

WORDS = "The mail proxy is restarting. Try again."


@pytest.fixture
def daemon(site: Site) -> Iterator[Vestibule]:
    """A daemon that a test may end."""
    with site.vestibule({"timeouts": {"drain": 0.0}}) as running:
        yield running


def end(daemon: Vestibule) -> None:
    """Tell the daemon to end, as an operator does."""
    daemon.send_signal(signal.SIGTERM)


def test_idle_sessions_of_all_protocols_hear_the_farewell(site: Site, daemon: Vestibule) -> None:
    idle, imap, pop3, sieve = (
        logged_in(daemon, site, ALICE, protocol) for protocol in ("imap", "imap", "pop3", "managesieve")
    )
    idle.send(b"s SELECT INBOX\r\ni IDLE\r\n")
    idle.until(b"+ ")
    for session in (imap, pop3, sieve):
        assert session.alive()
    end(daemon)
    assert idle.rest() == f"* BYE [UNAVAILABLE] {WORDS}\r\n".encode()
    assert imap.rest() == f"* BYE [UNAVAILABLE] {WORDS}\r\n".encode()
    assert pop3.rest() == f"-ERR [SYS/TEMP] {WORDS}\r\n".encode()
    assert sieve.rest() == f'BYE (TRYLATER) "{WORDS}"\r\n'.encode()
    wait_until(lambda: daemon.exit_code() == 0, "the daemon to end")


def test_a_download_is_cut_off_without_a_word(site: Site, daemon: Vestibule, s1: Dovecot, user: User) -> None:
    s1.deliver(user.name, b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * (1 << 17))
    session = logged_in(daemon, site, user)
    session.send(b"s SELECT INBOX\r\nf FETCH 1 BODY.PEEK[]\r\n")
    session.until(b"* 1 FETCH (BODY[] {")
    end(daemon)
    wait_until(lambda: daemon.exit_code() == 0, "the daemon to end")
    rest = session.rest()
    assert b"BYE" not in rest
    assert b"f OK" not in rest


def test_an_upload_is_cut_off_without_a_word_and_stores_nothing(
    site: Site, daemon: Vestibule, s1: Dovecot, user: User
) -> None:
    session = logged_in(daemon, site, user)
    session.send(b"p APPEND INBOX {100000}\r\n")
    session.until(b"+ ")
    session.send(b"Subject: half\r\n\r\n" + b"x" * 5000 + b"\r\n")
    end(daemon)
    assert session.rest() == b""
    with imap_plain(s1.address, s1.ports["imap"]) as direct:
        direct.login(user.name, user.password)
        assert direct.select()[1] == [b"0"]
