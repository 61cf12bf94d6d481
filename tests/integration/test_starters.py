"""The starters themselves: what they start really serves, believes whom it should, and leaves nothing behind."""

from __future__ import annotations

import imaplib
import poplib
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tls import ThrowawayAuthority

from .addresses import accepts, free_ports, has_ipv6, unused_address
from .clients import Lines, ManageSieve, curl, imap_plain, imap_tls, pop3_plain, pop3_tls, s_client
from .dovecot import MASTER_PASSWORD, MASTER_USER, Dovecot, token
from .haproxy import HAProxy
from .processes import group_members
from .site import ALICE, BOB, MAY, Site, merged, new_dovecot
from .toml import to_toml
from .wait import wait_until


def test_imap_logs_in_with_implicit_tls_and_with_starttls(site: Site, s1: Dovecot) -> None:
    with imap_tls(s1.address, s1.ports["imaps"], site.trusting()) as imap:
        assert imap.login(ALICE.name, ALICE.password)[0] == "OK"
    with imap_plain(s1.address, s1.ports["imap"]) as imap:
        imap.starttls(site.trusting())
        assert imap.login(BOB.name, BOB.password)[0] == "OK"


def test_pop3_logs_in_with_implicit_tls_and_with_starttls(site: Site, s1: Dovecot) -> None:
    pop3: poplib.POP3 = pop3_tls(s1.address, s1.ports["pop3s"], site.trusting())
    pop3.user(ALICE.name)
    assert pop3.pass_(ALICE.password).startswith(b"+OK")
    pop3.quit()
    pop3 = pop3_plain(s1.address, s1.ports["pop3"])
    pop3.stls(site.trusting())
    pop3.user(BOB.name)
    assert pop3.pass_(BOB.password).startswith(b"+OK")
    pop3.quit()


def test_managesieve_logs_in_with_implicit_tls_and_with_starttls(site: Site, s1: Dovecot) -> None:
    with ManageSieve(s1.address, s1.ports["sieves"], site.trusting()) as sieve:
        assert sieve.plain(ALICE.name, ALICE.password).status == "OK"
        assert sieve.put("empty", "keep;").status == "OK"
        assert sieve.activate("empty").status == "OK"
        assert (sieve.scripts(), sieve.get("empty")) == ({"empty": True}, "keep;")
    with ManageSieve(s1.address, s1.ports["sieve"]) as sieve:
        assert "STARTTLS" in sieve.capabilities
        assert sieve.starttls(site.trusting()).status == "OK"
        assert "STARTTLS" not in sieve.capabilities
        assert sieve.plain(ALICE.name, "wrong").status == "NO"


def test_a_trusted_client_may_name_another_address(s1: Dovecot) -> None:
    with Lines(s1.address, s1.ports["imap"]) as imap:
        imap.line()
        imap.send(b'i ID ("x-originating-ip" "192.0.2.1")\r\n')
        imap.until(b"i OK")
        imap.send(f'l LOGIN {ALICE.name} "{ALICE.password}"\r\n'.encode())
        imap.until(b"l OK")
    with Lines(s1.address, s1.ports["pop3"]) as pop3:
        assert b"[XCLIENT]" in pop3.line()
        pop3.send(b"XCLIENT ADDR=192.0.2.2\r\n")
        assert pop3.line().startswith(b"+OK")
        pop3.send(f"USER {ALICE.name}\r\nPASS {ALICE.password}\r\n".encode())
        pop3.line()
        assert pop3.line().startswith(b"+OK")
    with ManageSieve(s1.address, s1.ports["sieve"]) as sieve:
        assert "XCLIENT" in sieve.capabilities
        sieve.command("XCLIENT ADDR=192.0.2.3")
        assert sieve.plain(ALICE.name, ALICE.password).status == "OK"
    for protocol, address in {"imap": "192.0.2.1", "pop3": "192.0.2.2", "managesieve": "192.0.2.3"}.items():
        s1.wait_for_log(rf"{protocol}-login: Info: Login: user=<alice>, method=PLAIN, rip={address},")


def test_an_untrusted_client_may_not(site: Site, authority: ThrowawayAuthority) -> None:
    with (
        new_dovecot("mistrustful", site.folder, authority, trusted=["192.0.2.77/32"], demand_tls=True) as dovecot,
        imap_plain(dovecot.address, dovecot.ports["imap"]) as imap,
    ):
        assert "LOGINDISABLED" in imap.capabilities
        imap.starttls(site.trusting())
        imap.xatom("ID", '("x-originating-ip" "192.0.2.1")')
        imap.login(ALICE.name, ALICE.password)
        assert "rip=127.0.0.1" in dovecot.wait_for_log(r"Login: user=<alice>.*")[0]


def test_tokens_and_the_master_user_log_in(s1: Dovecot) -> None:
    with imap_plain(s1.address, s1.ports["imap"]) as imap:
        imap.authenticate("XOAUTH2", lambda _: f"user=alice\1auth=Bearer {token('alice')}\1\1".encode())
    with imap_plain(s1.address, s1.ports["imap"]) as imap, pytest.raises(imaplib.IMAP4.error):
        imap.authenticate("OAUTHBEARER", lambda _: f"n,a=bob,\1auth=Bearer {token('alice')}\1\1".encode())
    with imap_plain(s1.address, s1.ports["imap"]) as imap:
        imap.authenticate("PLAIN", lambda _: f"{BOB.name}\0{MASTER_USER}\0{MASTER_PASSWORD}".encode())
    s1.wait_for_log("Master user logging in as bob")


def test_a_user_added_later_is_known_at_once(s1: Dovecot) -> None:
    s1.add_user("newcomer", "new secret")
    with imap_plain(s1.address, s1.ports["imap"]) as imap:
        assert imap.login("newcomer", "new secret")[0] == "OK"


def test_compress_is_offered_and_a_delivered_message_is_there(site: Site, s1: Dovecot) -> None:
    user = site.user()
    s1.deliver(user.name, b"Subject: hello\r\n\r\nthere\r\n")
    with imap_plain(s1.address, s1.ports["imap"]) as imap:
        imap.login(user.name, user.password)
        assert "COMPRESS=DEFLATE" in imap.capability()[1][0].decode()
        assert imap.select()[1] == [b"1"]


@pytest.mark.parametrize("header", ["send-proxy", "send-proxy-v2"])
def test_haproxy_tells_the_clients_address(s1: Dovecot, header: Any) -> None:
    source = unused_address()
    targets = {"imap": (s1.address, s1.ports["imap-haproxy"]), "pop3": (s1.address, s1.ports["pop3-haproxy"])}
    with HAProxy(targets, header) as haproxy, Lines(haproxy.address, haproxy.ports["imap"], source=source) as imap:
        imap.line()
        imap.send(f'l LOGIN {ALICE.name} "{ALICE.password}"\r\n'.encode())
        imap.until(b"l OK")
        s1.wait_for_log(rf"Login: user=<alice>, method=PLAIN, rip={source}, lip={haproxy.address},")


def test_a_killed_server_starts_again_and_leaves_no_process(site: Site, authority: ThrowawayAuthority) -> None:
    with new_dovecot("mortal", site.folder, authority) as dovecot:
        dovecot.kill()
        assert not accepts(dovecot.address, dovecot.ports["imap"])
        dovecot.start()
        group = dovecot._process.pid
        with imap_plain(dovecot.address, dovecot.ports["imap"]) as imap:
            imap.login(ALICE.name, ALICE.password)
            assert len(group_members(group)) > 3
    assert group_members(group) == []
    assert not dovecot.home.exists()


def test_curl_and_openssl_speak_to_a_server(site: Site, s1: Dovecot) -> None:
    done = curl(f"imaps://{s1.address}:{s1.ports['imaps']}/", ALICE.name, ALICE.password, site.ca_file)
    assert b"INBOX" in done.stdout, done.stderr
    typed = f'a LOGIN {ALICE.name} "{ALICE.password}"\nb LOGOUT\n'.encode()
    assert b"a OK" in s_client(s1.address, s1.ports["imaps"], site.ca_file, typed).stdout


def test_a_certificate_of_a_stranger_is_not_trusted(site: Site, s1: Dovecot, tmp_path: Path) -> None:
    stranger = ThrowawayAuthority("somebody else").write_ca(tmp_path / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        imap_tls(s1.address, s1.ports["imaps"], ssl.create_default_context(cafile=str(stranger)))


def test_the_directory_holds_everybody(site: Site) -> None:
    admin = site.slapd.admin()
    for user, shard in ((ALICE, b"s1"), (MAY, b"s1"), (BOB, b"s2")):
        assert admin.search(site.slapd.people, f"(uid={user.name})", attributes=["mailHost"])
        assert admin.response[0]["raw_attributes"]["mailHost"] == [shard]


def test_free_ports_are_different_and_free() -> None:
    for address in [unused_address(), *(["::1"] if has_ipv6() else [])]:
        ports = free_ports(address, 10)
        assert len(set(ports)) == 10
        assert not any(accepts(address, port) for port in ports)


def test_toml_is_read_as_it_was_meant() -> None:
    table: dict[str, Any] = {
        "node": {"workers": 2, "delay": 0.5, "run_dir": '/tmp/"x" \\ ü', "on": True},
        "listener": [{"address": "[::1]:993", "networks": []}, {"address": "b", "networks": ["a", "b"]}],
        "shard": [{"name": "s1", "backend": [{"name": "b1", "ports": {"imap": 143}}, {"name": "b2"}]}],
    }
    assert tomllib.loads(to_toml(table)) == table


def test_merging_replaces_key_by_key() -> None:
    old: Mapping[str, Any] = {"a": {"x": 1, "y": 2}, "b": [1], "c": 3}
    assert merged(old, {"a": {"y": None, "z": 4}, "b": [2], "c": None}) == {"a": {"x": 1, "z": 4}, "b": [2]}


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match="a miracle"):
        wait_until(lambda: False, "a miracle", 0.02)
