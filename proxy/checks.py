"""The configuration check: the file, the certificates, the directory, and each backend in each protocol.

Two halves, because their faults are different ones: what the file says and names (`check_file`), and whether the
servers are as the file says (`check_servers`). Everything is tried; no fault hides another.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import tls
from director import Backend
from ldapmap import Finding, check_directory
from proxy.config import ConfigurationError, load, warnings
from proxy.outgoing import directory_context, login_context
from proxy.probe import Offered, ProbeFailure, Target, probe
from proxy.routes import KnownShards, known_shards, look_at_shards
from proxy.sections import BackendLoginSettings, ProtocolName
from proxy.settings import Settings

AT_ONCE = 16
"""Backends that are asked at the same time: unreachable ones cost a timeout each."""

PROBE_TIME = 5.0
"""Seconds a backend has for each answer."""


def check_file(path: Path) -> tuple[Settings | None, tuple[Finding, ...]]:
    """Reads the configuration and all files it names; no settings when it cannot be used."""
    try:
        settings = load(path)
    except ConfigurationError as error:
        return None, tuple(Finding("error", fault.key or str(path), fault.text) for fault in error.faults)
    summary = f"{len(settings.listener)} listeners, {len(settings.shard)} shards, {len(settings.backends)} backends"
    findings = [Finding("ok", str(path), summary)]
    findings += [Finding("warning", fault.key, fault.text) for fault in warnings(settings)]
    findings += _certificates(settings, datetime.now(UTC))
    findings += _authorities(settings)
    findings += _unsafe(settings)
    return settings, tuple(findings)


def check_servers(settings: Settings) -> tuple[Finding, ...]:
    """Asks the directory and every backend; blocks for some seconds when servers do not answer. Never sends a login.

    Raises CertificateFault for an authority file that `check_file` would have found.
    """
    findings = list(check_directory(settings.directory, directory_context(settings.directory)))
    known = look_at_shards(settings)
    findings += _shard_entries(settings, known)
    context = login_context(settings.backend_login)
    backends = [backend for shard in known.shards.all for backend in shard.backends]
    places = [(backend, protocol) for backend in backends for protocol in settings.protocols]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda place: _backend(settings, context, *place), places):
            findings += found
    return tuple(findings)


def _certificates(settings: Settings, now: datetime) -> Iterator[Finding]:
    for position, files in enumerate(settings.certificate):
        subject = f"certificate[{position}]"
        try:
            pair = tls.read_pair(files, now)
        except tls.CertificateFault as fault:
            yield Finding("error", subject, str(fault))
            continue
        days = (pair.not_after - now).days
        yield Finding("ok", subject, f"{', '.join(pair.names)}: {pair.key_kind}, {days} days left")
        yield from (Finding("warning", subject, text) for text in tls.warnings(pair, now))


def _authorities(settings: Settings) -> Iterator[Finding]:
    files = {f"listener[{i}].client_ca": listener.client_ca for i, listener in enumerate(settings.listener)}
    files |= {"backend_login.ca_file": settings.backend_login.ca_file, "directory.ca_file": settings.directory.ca_file}
    for subject, file in files.items():
        try:
            tls.backend_context(file, True)
        except tls.CertificateFault as fault:
            yield Finding("error", subject, str(fault))


def _unsafe(settings: Settings) -> Iterator[Finding]:
    """What an operator may want in a trial, and nobody in earnest."""
    login = settings.backend_login
    if login.tls != "off" and not login.verify:
        yield Finding("warning", "backend_login.verify", "backends are not verified: passwords can be read on the way")
    hosts = {backend.host for shard in known_shards(settings).all for backend in shard.backends}
    if login.tls == "off" and not all(map(_is_near, hosts)):
        yield Finding("warning", "backend_login.tls", "passwords and mail travel to the backends without TLS")


def _shard_entries(settings: Settings, known: KnownShards) -> Iterator[Finding]:
    """What the mirror says about the shards in the directory."""
    place = "directory.shards"
    if known.entries is not None:
        yield Finding("ok", place, f"{known.entries} entries in the mirror")
    elif settings.directory.shards.base:
        yield Finding("warning", place, "no mirror of them can be read: only shards of the file are checked")
    for fault in known.faults:
        yield Finding("warning", f"{place} {fault.shard}", f"the entry is not used as it is: {fault.text}")


def _is_near(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _backend(settings: Settings, context: ssl.SSLContext, backend: Backend, protocol: ProtocolName) -> list[Finding]:
    login = settings.backend_login
    port = settings.backend_port(backend.ports, protocol)
    subject = f"{backend.name} {protocol}"
    if _is_ourselves(settings, backend.host, port):
        return [Finding("error", subject, f"{backend.host} port {port} is this daemon's own listener: a loop")]
    target = Target(backend.host, port, protocol, login.tls, login.proxy_protocol, PROBE_TIME)
    try:
        offered = probe(target, context)
    except ProbeFailure as failure:
        return [Finding("error", subject, f"{backend.host} port {port}: {failure}")]
    reached = Finding("ok", subject, f"{backend.host} port {port} answers, {offered.tls or 'without TLS'}")
    return [reached, *_shortcomings(subject, login, offered)]


def _shortcomings(subject: str, login: BackendLoginSettings, offered: Offered) -> Iterator[Finding]:
    if not offered.takes_passwords:
        yield Finding(
            "error", subject, 'it takes no password on this connection; look at tls = "..." in [backend_login]'
        )
    if login.forward_client and not offered.forwards_client:
        remedy = "it will log our address instead of the client's; name us in its trusted networks"
        yield Finding("warning", subject, f"it offers neither ID nor XCLIENT to us: {remedy}")


def _is_ourselves(settings: Settings, host: str, port: int) -> bool:
    """Whether a backend's name leads to one of our own listeners: its address is this machine's, and the port ours."""
    ours = [listener.endpoint[0] for listener in settings.listener if listener.endpoint[1] == port]
    return bool(ours) and any(address in ours or (_is_any(ours) and _is_local(address)) for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return []  # the probe that follows says so better


def _is_any(hosts: list[str]) -> bool:
    return any(ipaddress.ip_address(host).is_unspecified for host in hosts)


def _is_local(address: str) -> bool:
    """Only an address of this machine can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
        return True
