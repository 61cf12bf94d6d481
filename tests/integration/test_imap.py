"""IMAP through the proxy, as clients speak it, with a real Dovecot behind."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import os
import zlib
from collections.abc import Callable
from typing import Any

import aioimaplib
import pytest

from .addresses import has_ipv6
from .clients import Lines, imap_plain, imap_tls
from .dovecot import Dovecot
from .logins import ACCEPTED, PROTOCOLS, answer_to, enter, logged_in
from .site import ALICE, BOB, Site, User
from .vestibule import Vestibule

Log_in = Callable[[Lines, str, str], None]


def connect(site: Site, vestibule: Vestibule, tls: str) -> imaplib.IMAP4:
    """An IMAP client that has come as far as TLS."""
    if tls == "implicit":
        return imap_tls(vestibule.address, vestibule.ports["imaps"], site.trusting())
    imap = imap_plain(vestibule.address, vestibule.ports["imap"])
    imap.starttls(site.trusting())
    return imap


def say(imap: Lines, *lines: bytes) -> bytes:
    """Send lines and wait for a continuation request after each but the last; the tagged line that answers it."""
    for line in lines[:-1]:
        imap.send(line + b"\r\n")
        imap.until(b"+")
    imap.send(lines[-1] + b"\r\n")
    return imap.until(b"a ")[-1]


def encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_client_logs_in_stores_a_message_and_reads_it(site: Site, vestibule: Vestibule, user: User, tls: str) -> None:
    with connect(site, vestibule, tls) as imap:
        assert imap.login(user.name, user.password)[0] == "OK"
        assert imap.append("INBOX", r"(\Seen)", "", b"Subject: hello\r\n\r\nthere\r\n")[0] == "OK"
        assert imap.select()[1] == [b"1"]
        data = imap.fetch("1", "(BODY.PEEK[TEXT])")[1][0]
        assert isinstance(data, tuple)
        assert data[1] == b"there\r\n"
        assert imap.noop()[0] == "OK"


def forms(user: User) -> dict[str, tuple[bytes, ...]]:
    """The forms of a login: what is sent, line by line, a continuation request being awaited between them."""
    name, password = user.name.encode(), user.password.encode()
    plain = encoded(f"\0{user.name}\0{user.password}")
    return {
        "atoms": (b"a LOGIN %b %b" % (name, password),),
        "quoted strings": (b'a LOGIN "%b" "%b"' % (name, password),),
        "literals": (b"a LOGIN {%d}" % len(name), b"%b {%d}" % (name, len(password)), password),
        "non-synchronising literals": (
            b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b" % (len(name), name, len(password), password),
        ),
        "an atom and a literal": (b"a LOGIN %b {%d}" % (name, len(password)), password),
        "PLAIN at once": (b"a AUTHENTICATE PLAIN %b" % plain,),
        "PLAIN when asked": (b"a AUTHENTICATE PLAIN", plain),
        "LOGIN": (b"a AUTHENTICATE LOGIN", encoded(user.name), encoded(user.password)),
        "LOGIN with the name at once": (b"a AUTHENTICATE LOGIN %b" % encoded(user.name), encoded(user.password)),
    }


@pytest.mark.parametrize("form", forms(ALICE))
def test_every_form_of_login_is_understood(site: Site, vestibule: Vestibule, user: User, form: str) -> None:
    with enter(vestibule, site) as imap:
        assert say(imap, *forms(user)[form]).startswith(b"a OK")
        imap.send(b"b SELECT INBOX\r\n")
        assert imap.until(b"b ")[-1].startswith(b"b OK")


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_password_with_quotes_and_backslashes_reaches_the_server(site: Site, vestibule: Vestibule, tls: str) -> None:
    with connect(site, vestibule, tls) as imap:
        assert imap.login(BOB.name, BOB.password)[0] == "OK"


def test_before_starttls_no_password_is_taken(site: Site, vestibule: Vestibule, s1: Dovecot, user: User) -> None:
    with imap_plain(vestibule.address, vestibule.ports["imap"]) as imap:
        assert "LOGINDISABLED" in imap.capabilities
        assert not [one for one in imap.capabilities if one.startswith("AUTH=")]
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            imap.login(user.name, user.password)
    assert s1.logins(user.name) == []


def test_users_of_two_shards_are_on_two_servers(site: Site, vestibule: Vestibule, s1: Dovecot, s2: Dovecot) -> None:
    here, there = site.user("s1"), site.user("s2")
    for user in (here, there):
        logged_in(vestibule, site, user).close()
    s1.wait_for_log(rf"Login: user=<{here.name}>")
    s2.wait_for_log(rf"Login: user=<{there.name}>")
    assert (s1.logins(there.name), s2.logins(here.name)) == ([], [])
    assert vestibule.session(user=there.name)["backend"] == "mb2"


def test_the_servers_capabilities_are_told_after_login(site: Site, vestibule: Vestibule, user: User) -> None:
    with connect(site, vestibule, "implicit") as imap:
        assert "COMPRESS=DEFLATE" not in imap.capabilities
        imap.login(user.name, user.password)
        assert b"COMPRESS=DEFLATE" in imap.capability()[1][0]


def test_commands_sent_behind_the_login_are_answered_in_order(site: Site, vestibule: Vestibule, user: User) -> None:
    with enter(vestibule, site) as imap:
        login = f"a LOGIN {user.name} {user.password}\r\n".encode()
        imap.send(login + b"b SELECT INBOX\r\nc APPEND INBOX {3+}\r\nx: \r\nd NOOP\r\ne LOGOUT\r\n")
        answers = [
            line.split()[:2] for line in imap.rest().splitlines() if line[:2] in (b"a ", b"b ", b"c ", b"d ", b"e ")
        ]
    assert answers == [[tag, b"OK"] for tag in (b"a", b"b", b"c", b"d", b"e")]


async def test_idle_hears_of_a_message_that_another_session_stores(
    site: Site, vestibule: Vestibule, user: User
) -> None:
    def store() -> None:
        with connect(site, vestibule, "implicit") as other:
            other.login(user.name, user.password)
            other.append("INBOX", "", "", b"Subject: news\r\n\r\n\r\n")

    client: Any = aioimaplib.IMAP4_SSL(vestibule.address, vestibule.ports["imaps"], ssl_context=site.trusting())
    await client.wait_hello_from_server()
    await client.login(user.name, user.password)
    await client.select("INBOX")
    idle = await client.idle_start(timeout=30)
    await asyncio.to_thread(store)
    pushed = await client.wait_server_push()
    while b"1 EXISTS" not in pushed:
        pushed = await client.wait_server_push()
    client.idle_done()
    await asyncio.wait_for(idle, 30)
    await client.logout()


def test_fifty_mebibytes_pass_unchanged_both_ways(site: Site, vestibule: Vestibule, user: User) -> None:
    lines = base64.encodebytes(os.urandom(37 << 20)).replace(b"\n", b"\r\n")
    message = b"Subject: large\r\n\r\n" + lines
    assert len(message) > 50 << 20
    with connect(site, vestibule, "implicit") as imap:
        imap.login(user.name, user.password)
        assert imap.append("INBOX", "", "", message)[0] == "OK"
        imap.select()
        data = imap.fetch("1", "(BODY.PEEK[])")[1][0]
        assert isinstance(data, tuple)
        assert data[1] == message
    line = vestibule.session(user=user.name)
    assert line["bytes_to_backend"] > len(message)
    assert line["bytes_to_client"] > len(message)


def test_compression_between_client_and_server_passes(site: Site, vestibule: Vestibule, user: User) -> None:
    with logged_in(vestibule, site, user) as imap:
        assert say(imap, b"a COMPRESS DEFLATE").startswith(b"a OK")
        deflate, inflate = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        imap.send(deflate.compress(b"b NOOP\r\n") + deflate.flush(zlib.Z_SYNC_FLUSH))
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += inflate.decompress(imap.socket.recv(65536))
        assert answer.startswith(b"b OK")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_password_and_an_unknown_user_get_the_same_bytes(
    site: Site, vestibule: Vestibule, protocol: str
) -> None:
    wrong = answer_to(vestibule, site, User(ALICE.name, "wrong"), protocol)
    unknown = answer_to(vestibule, site, User("nobody-at-all", ALICE.password), protocol)
    assert wrong == unknown
    assert {"imap": b"a NO [AUTHENTICATIONFAILED]", "pop3": b"-ERR [AUTH]", "managesieve": b"NO"}[protocol] in wrong


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_a_wrong_password_the_right_one_is_accepted(site: Site, vestibule: Vestibule, protocol: str) -> None:
    with enter(vestibule, site, protocol) as session:
        assert not session.plain(ALICE.name, "wrong").startswith(ACCEPTED[protocol])
        assert session.plain(ALICE.name, ALICE.password).startswith(ACCEPTED[protocol])
        assert session.alive()


def test_a_session_leaves_one_log_line_and_no_password(site: Site, vestibule: Vestibule, user: User) -> None:
    before = vestibule.metrics()['vestibule_logins_total{outcome="ok",protocol="imap"}']
    logged_in(vestibule, site, user).close()
    line = vestibule.session(user=user.name)
    assert (line["protocol"], line["shard"], line["backend"], line["tls"]) == ("imap", "s1", "mb1", "TLSv1.3")
    assert line["client"].startswith("127.")
    assert "failure" not in line
    assert len([one for one in vestibule.log_lines() if one.get("user") == user.name]) == 1
    assert user.password not in vestibule.log()
    assert base64.b64encode(f"\0{user.name}\0{user.password}".encode()).decode() not in vestibule.log()
    assert vestibule.metrics()['vestibule_logins_total{outcome="ok",protocol="imap"}'] == before + 1


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_clients_come_by_ipv6(site: Site, user: User) -> None:
    with site.vestibule(address="::1", workers=1) as daemon, logged_in(daemon, site, user) as session:
        assert session.alive()
        session.close()
        assert daemon.session(user=user.name)["client"] == "::1"
