"""Where a client really is: told to the mail servers, learnt from load balancers, and never believed of strangers."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from .addresses import unused_address
from .clients import open_socket
from .dovecot import Dovecot
from .haproxy import HAProxy
from .logins import ACCEPTED, IMPLICIT, PROTOCOLS, STARTTLS, Session, enter, logged_in
from .site import Site, User, shard
from .vestibule import Vestibule

LOOPBACK = ["127.0.0.0/8"]


def seen_by(dovecot: Dovecot, user: User) -> str:
    """The client address in the log line of the user's login."""
    return dovecot.wait_for_log(rf"Login: user=<{user.name}>, method=\S+ rip=([^,]+),")[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_mail_server_logs_the_clients_address(
    site: Site, vestibule: Vestibule, s1: Dovecot, user: User, protocol: str
) -> None:
    source = unused_address()
    logged_in(vestibule, site, user, protocol, source).close()
    assert seen_by(s1, user) == source
    line = vestibule.session(user=user.name)
    assert line["client"] == source
    assert f"session=<{line['session']}>" in s1.logins(user.name)[0]


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_load_balancer_tells_the_clients_address(
    site: Site, s1: Dovecot, user: User, protocol: str, header: Any
) -> None:
    source = unused_address()
    with site.vestibule(workers=1, listener={"proxy_protocol_from": LOOPBACK}) as daemon:
        targets = {name: (daemon.address, daemon.ports[name]) for name in (IMPLICIT[protocol], STARTTLS[protocol])}
        with HAProxy(targets, header) as haproxy:
            context = site.trusting()
            context.check_hostname = False
            port = haproxy.ports[IMPLICIT[protocol]]
            with Session(protocol, haproxy.address, port, context, source) as session:
                assert session.plain(user.name, user.password).startswith(ACCEPTED[protocol])
        line = daemon.session(user=user.name)
    assert seen_by(s1, user) == source == line["client"]
    assert line["via"] != source


def test_an_address_in_a_clients_id_command_is_not_believed(
    site: Site, vestibule: Vestibule, s1: Dovecot, user: User
) -> None:
    source = unused_address()
    with enter(vestibule, site, "imap", source) as session:
        session.send(b'i ID ("name" "evil" "x-originating-ip" "192.0.2.66" "x-session-id" "chosen")\r\n')
        assert session.until(b"i ")[-1].startswith(b"i OK")
        assert session.plain(user.name, user.password).startswith(b"a OK")
    assert seen_by(s1, user) == source
    assert "192.0.2.66" not in s1.log()
    assert "chosen" not in s1.log()


def test_an_address_in_a_clients_xclient_command_is_not_believed(
    site: Site, vestibule: Vestibule, s1: Dovecot, user: User
) -> None:
    source = unused_address()
    with enter(vestibule, site, "pop3", source) as session:
        assert b"XCLIENT" not in session.greeting[-1]
        session.send(b"XCLIENT ADDR=192.0.2.67 PORT=1\r\n")
        session.line()
        assert session.plain(user.name, user.password).startswith(b"+OK")
    assert seen_by(s1, user) == source
    assert "192.0.2.67" not in s1.log()


def test_a_trusted_proxy_in_front_is_believed(site: Site, s1: Dovecot, user: User) -> None:
    trusted = unused_address()
    with site.vestibule(workers=1, listener={"forwarded_from": [f"{trusted}/32"]}) as daemon:
        with enter(daemon, site, "imap", trusted) as session:
            session.send(b'i ID ("x-originating-ip" "192.0.2.68" "x-originating-port" "4711")\r\n')
            session.until(b"i OK")
            assert session.plain(user.name, user.password).startswith(b"a OK")
        assert daemon.session(user=user.name)["client"] == "192.0.2.68"
    assert seen_by(s1, user) == "192.0.2.68"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_mail_server_may_get_a_proxy_header_instead(site: Site, s1: Dovecot, user: User, protocol: str) -> None:
    source = unused_address()
    one = shard("s1", s1)
    one["backend"][0]["ports"] = {
        "imap": s1.ports["imap-haproxy"],
        "pop3": s1.ports["pop3-haproxy"],
        "managesieve": s1.ports["sieve-haproxy"],
    }
    login = {"proxy_protocol": True, "forward_client": False}
    with site.vestibule({"backend_login": login, "shard": [one]}, workers=1) as daemon:
        logged_in(daemon, site, user, protocol, source).close()
        assert seen_by(s1, user) == source
        assert f"lip={daemon.address}," in s1.logins(user.name)[0]


def test_only_the_load_balancer_may_connect_where_a_header_is_demanded(site: Site) -> None:
    balancer, stranger = unused_address(), unused_address()
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 993\r\n"
    with site.vestibule(workers=1, listener={"proxy_protocol_from": [f"{balancer}/32"]}) as daemon:
        port = daemon.ports["imap"]
        assert greeting(daemon.address, port, balancer, header).startswith(b"* OK")
        assert greeting(daemon.address, port, stranger, header) == b""


def test_a_listener_that_expects_no_header_does_not_take_one(vestibule: Vestibule) -> None:
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", 12) + bytes(12)
    with open_socket(vestibule.address, vestibule.ports["imaps"]) as connection:
        connection.sendall(header)
        assert b"* OK" not in received(connection)


def greeting(address: str, port: int, source: str, header: bytes) -> bytes:
    """What a connection from `source` that begins with a header hears first."""
    with open_socket(address, port, source=source) as connection:
        connection.sendall(header)
        try:
            return connection.recv(4096)
        except ConnectionResetError:
            return b""


def received(connection: socket.socket) -> bytes:
    """All that arrives until the other side closes."""
    parts = []
    try:
        while data := connection.recv(4096):
            parts.append(data)
    except ConnectionResetError:
        pass
    return b"".join(parts)
