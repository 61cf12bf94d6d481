"""POP3 through the proxy, as clients speak it, with a real Dovecot behind."""

from __future__ import annotations

import base64
import os
import poplib

import pytest

from .clients import Lines, pop3_plain, pop3_tls
from .dovecot import Dovecot
from .logins import enter, logged_in
from .site import BOB, Site, User
from .vestibule import Vestibule


def connect(site: Site, vestibule: Vestibule, tls: str) -> poplib.POP3:
    """A POP3 client that has come as far as TLS."""
    if tls == "implicit":
        return pop3_tls(vestibule.address, vestibule.ports["pop3s"], site.trusting())
    pop3 = pop3_plain(vestibule.address, vestibule.ports["pop3"])
    pop3.stls(site.trusting())
    return pop3


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_client_fetches_and_deletes(site: Site, vestibule: Vestibule, s1: Dovecot, user: User, tls: str) -> None:
    s1.deliver(user.name, b"Subject: one\r\n\r\n.dot\r\n")
    pop3 = connect(site, vestibule, tls)
    pop3.user(user.name)
    assert pop3.pass_(user.password).startswith(b"+OK")
    assert pop3.stat()[0] == 1
    assert pop3.retr(1)[1][-1] == b".dot"
    pop3.dele(1)
    pop3.quit()
    pop3 = connect(site, vestibule, tls)
    pop3.user(user.name)
    pop3.pass_(user.password)
    assert pop3.stat() == (0, 0)
    pop3.quit()


def test_a_large_message_passes_unchanged(site: Site, vestibule: Vestibule, s1: Dovecot, user: User) -> None:
    lines = base64.encodebytes(os.urandom(4 << 20)).splitlines()
    s1.deliver(user.name, b"Subject: large\r\n\r\n" + b"\r\n".join(lines) + b"\r\n")
    pop3 = connect(site, vestibule, "implicit")
    pop3.user(user.name)
    pop3.pass_(user.password)
    assert pop3.retr(1)[1][2:] == lines
    pop3.quit()


def forms(user: User) -> dict[str, tuple[bytes, ...]]:
    """The forms of a login, line by line."""
    plain = encoded(f"\0{user.name}\0{user.password}")
    return {
        "USER and PASS": (f"USER {user.name}".encode(), f"PASS {user.password}".encode()),
        "PLAIN at once": (b"AUTH PLAIN " + plain,),
        "PLAIN when asked": (b"AUTH PLAIN", plain),
        "LOGIN": (b"AUTH LOGIN", encoded(user.name), encoded(user.password)),
    }


@pytest.mark.parametrize("form", forms(BOB))
def test_every_form_of_login_is_understood(site: Site, vestibule: Vestibule, form: str) -> None:
    with enter(vestibule, site, "pop3") as pop3:
        assert speak(pop3, *forms(BOB)[form])[-1].startswith(b"+OK")
        assert speak(pop3, b"STAT")[0].startswith(b"+OK")


def test_a_password_may_hold_spaces_at_its_ends(site: Site, vestibule: Vestibule, s1: Dovecot) -> None:
    site.slapd.add_user("spacious", " pass word ", mailHost="s1")
    s1.add_user("spacious", " pass word ")
    with enter(vestibule, site, "pop3") as pop3:
        assert speak(pop3, b"USER spacious", b"PASS  pass word ")[-1].startswith(b"+OK")


def test_capabilities_tell_how_to_log_in(site: Site, vestibule: Vestibule) -> None:
    with enter(vestibule, site, "pop3") as pop3:
        pop3.send(b"CAPA\r\n")
        capabilities = [line.strip() for line in pop3.until(b".\r\n")]
        assert {b"USER", b"RESP-CODES", b"AUTH-RESP-CODE", b"SASL PLAIN LOGIN"} <= set(capabilities)
        assert b"STLS" not in capabilities
        pop3.send(b"AUTH\r\n")
        assert [line.strip() for line in pop3.until(b".\r\n")[1:]] == [b"PLAIN", b"LOGIN", b"."]


def test_before_stls_no_password_is_taken(site: Site, vestibule: Vestibule, s1: Dovecot, user: User) -> None:
    pop3 = pop3_plain(vestibule.address, vestibule.ports["pop3"])
    assert "STLS" in pop3.capa()
    with pytest.raises(poplib.error_proto, match="-ERR"):
        pop3.user(user.name)
    with pytest.raises(poplib.error_proto, match="-ERR"):
        pop3.pass_(user.password)
    pop3.close()
    assert s1.logins(user.name) == []


def test_commands_sent_behind_the_login_are_answered_in_order(site: Site, vestibule: Vestibule, user: User) -> None:
    with enter(vestibule, site, "pop3") as pop3:
        pop3.send(f"USER {user.name}\r\nPASS {user.password}\r\nSTAT\r\nNOOP\r\nQUIT\r\n".encode())
        answers = pop3.rest().splitlines()
    assert [answer[:3] for answer in answers] == [b"+OK"] * 5
    assert answers[2] == b"+OK 0 0"


def test_the_log_line_says_who_was_where(site: Site, vestibule: Vestibule, user: User) -> None:
    logged_in(vestibule, site, user, "pop3").close()
    line = vestibule.session(user=user.name)
    assert (line["protocol"], line["backend"]) == ("pop3", "mb1")


def speak(pop3: Lines, *lines: bytes) -> list[bytes]:
    """Send lines one by one; the line that answers each."""
    answers = []
    for line in lines:
        pop3.send(line + b"\r\n")
        answers.append(pop3.line())
    return answers
