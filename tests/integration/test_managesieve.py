"""ManageSieve through the proxy, as clients speak it, with a real Dovecot behind."""

from __future__ import annotations

import base64

import pytest

from .clients import ManageSieve
from .dovecot import Dovecot
from .site import BOB, Site, User
from .vestibule import Vestibule

SCRIPT = 'require "fileinto";\r\nif header :contains "subject" "list" { fileinto "Lists"; }\r\n'


def connect(site: Site, vestibule: Vestibule, tls: str) -> ManageSieve:
    """A ManageSieve client that has come as far as TLS."""
    if tls == "implicit":
        return ManageSieve(vestibule.address, vestibule.ports["sieves"], site.trusting())
    sieve = ManageSieve(vestibule.address, vestibule.ports["sieve"])
    assert sieve.starttls(site.trusting()).status == "OK"
    return sieve


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_script_is_stored_listed_activated_and_read(site: Site, vestibule: Vestibule, user: User, tls: str) -> None:
    with connect(site, vestibule, tls) as sieve:
        assert sieve.plain(user.name, user.password).status == "OK"
        assert sieve.put("lists", SCRIPT).status == "OK"
        assert sieve.put("faulty", "nonsense").status == "NO"
        assert sieve.scripts() == {"lists": False}
        assert sieve.activate("lists").status == "OK"
        assert sieve.command("LOGOUT").status == "OK"
    with connect(site, vestibule, tls) as sieve:
        sieve.plain(user.name, user.password)
        assert sieve.scripts() == {"lists": True}
        assert sieve.get("lists") == SCRIPT


def test_scripts_are_where_the_user_is(site: Site, vestibule: Vestibule, s2: Dovecot) -> None:
    user = site.user("s2")
    with connect(site, vestibule, "implicit") as sieve:
        sieve.plain(user.name, user.password)
        sieve.put("mine", SCRIPT)
    with ManageSieve(s2.address, s2.ports["sieve"]) as sieve:
        sieve.plain(user.name, user.password)
        assert sieve.get("mine") == SCRIPT


def test_before_starttls_no_password_is_taken(site: Site, vestibule: Vestibule, s1: Dovecot, user: User) -> None:
    with ManageSieve(vestibule.address, vestibule.ports["sieve"]) as sieve:
        assert sieve.capabilities["SASL"] == ""
        assert "STARTTLS" in sieve.capabilities
        reply = sieve.plain(user.name, user.password)
        assert (reply.status, reply.code) == ("NO", "ENCRYPT-NEEDED")
        sieve.starttls(site.trusting())
        assert sieve.capabilities["SASL"] == "PLAIN LOGIN"
        assert "STARTTLS" not in sieve.capabilities
    assert s1.logins(user.name) == []


@pytest.mark.parametrize("form", ["PLAIN when asked", "PLAIN as a literal", "LOGIN"])
def test_every_form_of_login_is_understood(site: Site, vestibule: Vestibule, form: str) -> None:
    plain = encoded(f"\0{BOB.name}\0{BOB.password}")
    lines = {
        "PLAIN when asked": ('AUTHENTICATE "PLAIN"', f'"{plain}"'),
        "PLAIN as a literal": (f'AUTHENTICATE "PLAIN" {{{len(plain)}+}}\r\n{plain}',),
        "LOGIN": ('AUTHENTICATE "LOGIN"', f'"{encoded(BOB.name)}"', f'"{encoded(BOB.password)}"'),
    }[form]
    with connect(site, vestibule, "implicit") as sieve:
        for line in lines[:-1]:
            sieve.send(line.encode() + b"\r\n")
            challenge = sieve.line()
            if challenge.startswith(b"{"):
                sieve.line()
        assert sieve.command(lines[-1]).status == "OK"
        assert sieve.command("NOOP").status == "OK"


def test_commands_sent_behind_the_login_are_answered_in_order(site: Site, vestibule: Vestibule, user: User) -> None:
    response = encoded(f"\0{user.name}\0{user.password}")
    with connect(site, vestibule, "implicit") as sieve:
        sieve.send(f'AUTHENTICATE "PLAIN" "{response}"\r\n'.encode() + b'NOOP "one"\r\nLISTSCRIPTS\r\nNOOP "two"\r\n')
        assert [sieve.reply().code for _ in range(4)] == ["", 'TAG "one"', "", 'TAG "two"']


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
