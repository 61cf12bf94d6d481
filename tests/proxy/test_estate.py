"""What is made before the first fork: a socket for each listener and worker, contexts, counters."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.estate import Estate, note_expiry, prepare, read_certificates
from proxy.log import Sink
from proxy.protocols.failures import Kind
from proxy.settings import ListenerSettings, NodeSettings, Settings
from tests.proxy.front import Certificates, site
from tests.proxy.talk import Server, silent
from tls import CertificateFault, CertificateFiles


def settings_for(certificates: Certificates, *listeners: dict[str, Any], workers: int = 2) -> Settings:
    """Settings with these listeners and one certificate."""
    doors = tuple(ListenerSettings(**{"protocol": "imap", "address": "127.0.0.1:0", **each}) for each in listeners)
    node = NodeSettings(name="front1", workers=workers, user="")
    return replace(site(Server(silent)), listener=doors, certificate=(certificates.files,), node=node)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def made(settings: Settings, folder: Path) -> Estate:
    return prepare(settings, Sink(folder / "log"))


def test_each_worker_has_a_socket_for_each_listener(certificates: Certificates, tmp_path: Path) -> None:
    estate = made(settings_for(certificates, {}, {"protocol": "pop3", "tls": "starttls"}, workers=3), tmp_path)
    assert [len(slot) for slot in estate.sockets] == [2, 2, 2]
    for sock in (sock for slot in estate.sockets for sock in slot):
        socket.create_connection(sock.getsockname()).close()
    estate.close_listening()
    assert {sock.fileno() for slot in estate.sockets for sock in slot} == {-1}


def test_workers_share_an_address(certificates: Certificates, tmp_path: Path) -> None:
    with socket.socket() as finder:
        finder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        finder.bind(("127.0.0.1", 0))
        host, port = finder.getsockname()
        estate = made(settings_for(certificates, {"address": f"{host}:{port}"}), tmp_path)
        assert {slot[0].getsockname() for slot in estate.sockets} == {(host, port)}
        estate.close_listening()


def test_each_start_is_another_life_of_the_node(certificates: Certificates, tmp_path: Path) -> None:
    lives = set()
    for _ in range(2):
        estate = made(settings_for(certificates, {}), tmp_path)
        lives.add(estate.life)
        estate.close_listening()
    assert len(lives) == 2
    assert all(re.fullmatch("front1/[0-9a-f]{8}", life) for life in lives)


def test_only_listeners_with_tls_have_contexts(certificates: Certificates, tmp_path: Path) -> None:
    clear = {"tls": "off", "plaintext_auth": True}
    estate = made(settings_for(certificates, clear, {"tls": "starttls"}, {"tls": "implicit"}), tmp_path)
    without, starttls, implicit = estate.contexts
    assert without is None
    assert starttls is not None
    assert implicit is not None
    assert starttls.context is not implicit.context
    estate.close_listening()


def test_the_counters_have_a_place_for_everything_that_can_happen(certificates: Certificates, tmp_path: Path) -> None:
    estate = made(settings_for(certificates, {}, {"protocol": "managesieve"}, workers=3), tmp_path)
    assert len(estate.counters.workers) == 3
    for kind in Kind:
        for protocol in ("imap", "managesieve"):
            estate.counters.number("logins_total", (protocol, kind.value))
    (pair,) = read_certificates(estate.settings)
    expiry = estate.counters.number("certificate_expiry_timestamp_seconds", (str(certificates.files.chain),))
    assert expiry == pair.not_after.timestamp()
    estate.close_listening()


def test_a_new_certificates_end_replaces_the_old_ones(certificates: Certificates, tmp_path: Path) -> None:
    estate = made(settings_for(certificates, {}), tmp_path)
    (pair,) = read_certificates(estate.settings)
    later = replace(pair, not_after=pair.not_after.replace(year=pair.not_after.year + 1))
    note_expiry(estate.counters, [later])
    name = (str(certificates.files.chain),)
    assert estate.counters.number("certificate_expiry_timestamp_seconds", name) == later.not_after.timestamp()
    estate.close_listening()


def test_a_certificate_that_cannot_be_used_is_named_before_anything_is_bound(
    certificates: Certificates, tmp_path: Path
) -> None:
    settings = settings_for(certificates, {})
    missing = CertificateFiles(chain=tmp_path / "missing.pem", key=certificates.files.key)
    with pytest.raises(CertificateFault, match=r"missing\.pem"):
        made(replace(settings, certificate=(missing,)), tmp_path)


def test_an_address_that_is_not_ours_is_an_oserror(certificates: Certificates, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="assign"):
        made(settings_for(certificates, {"address": "192.0.2.1:0"}), tmp_path)
