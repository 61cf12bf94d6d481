"""The sections of the configuration file that belong to the daemon itself, each with the rules over its own keys.

The metadata of the fields is what the file's reader (`proxy.reading`) and its reference page (`proxy.reference`) use.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from proxy.protocols.secret import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ProtocolName = Literal["imap", "pop3", "managesieve"]
TlsMode = Literal["implicit", "starttls", "off"]
Mechanism = Literal["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"]
Faults = Iterator[tuple[str, str]]

PIGEONHOLE_EXTENSIONS = (
    "fileinto reject envelope encoded-character vacation subaddress comparator-i;ascii-numeric relational regex"
    " imap4flags copy include variables body enotify environment mailbox date index ihave duplicate mime"
    " foreverypart extracttext"
)
"""What a Pigeonhole server announces unless its administrator changed it."""


def _doc(text: str, **more: Any) -> dict[str, Any]:
    return {"doc": text, **more}


def _seconds(text: str, least: float = 0.1, most: float = 3600.0) -> dict[str, Any]:
    return {"doc": text, "unit": "s", "min": least, "max": most}


def is_ip(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `192.0.2.1:143` or `[2001:db8::1]:143`; raises ValueError when it is neither."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    inner = host[1:-1] if bracketed else host
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if not colon or not 0 <= number <= 65535 or (ipaddress.ip_address(inner).version == 6) != bracketed:
        raise ValueError(f"not an address with a port: {address}")
    return inner, number


def _address_faults(key: str, address: str) -> Faults:
    try:
        split_address(address)
    except ValueError:
        wanted = 'an IP address and a port; write "192.0.2.1:143", "[2001:db8::1]:143", or "[::]:143" for all addresses'
        yield key, f'found "{address}", expected {wanted}'


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """This machine and its processes."""

    name: str = field(
        default_factory=socket.gethostname,
        metadata=_doc("Name of this node in logs and on the admin pages.", min=1, max=255, default="the host's name"),
    )
    workers: int = field(
        default=0,
        metadata=_doc("Worker processes; 0: one for each core this process may use.", min=0, max=256),
    )
    run_dir: Path = field(
        default=Path("/run/vestibule"),
        metadata=_doc("Directory for what lives as long as the daemon: the file vestibule.pid.", exists=False),
    )
    user: str = field(
        default="vestibule",
        metadata=_doc('User the workers become when the daemon was started as root; "": they stay what they are.'),
    )
    group: str = field(
        default="",
        metadata=_doc('Group the workers get when the daemon was started as root; "": the main group of that user.'),
    )
    max_connections: int = field(
        default=0,
        metadata=_doc(
            "Connections of one worker, logged in or not; 0: what the limit on open files allows.",
            min=0,
        ),
    )
    max_logins: int = field(
        default=1000,
        metadata=_doc(
            "Connections of one worker that are not logged in; when full, newcomers wait in the kernel's queue.", min=1
        ),
    )
    login_patience: float = field(
        default=10.0,
        metadata=_seconds("When max_logins is full, an idle connection so old gives way to the next.", 0.0, 180.0),
    )

    @property
    def worker_count(self) -> int:
        """Processes to start: as configured, or one for each core this process may run on."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """One address on which clients of one protocol are received."""

    protocol: ProtocolName = field(metadata=_doc("What clients speak here."))
    address: str = field(
        metadata=_doc('IP address and port, IPv6 in brackets; "[::]:993" is every address, IPv4 included.')
    )
    tls: TlsMode = field(
        default="implicit",
        metadata=_doc(
            "implicit: TLS from the first byte; starttls: at the client's command, no password before it; off: none."
        ),
    )
    plaintext_auth: bool = field(
        default=False,
        metadata=_doc("Accept passwords without TLS: behind a balancer that ends the TLS, or in a trusted network."),
    )
    proxy_protocol_from: tuple[Network, ...] = field(
        default=(),
        metadata=_doc("Networks whose connections must begin with a PROXY header; if set, no other may connect."),
    )
    allow_from: tuple[Network, ...] = field(
        default=(),
        metadata=_doc("Networks that clients may connect from, judged after a PROXY header; empty: all."),
    )
    forwarded_from: tuple[Network, ...] = field(
        default=(),
        metadata=_doc(
            "Networks whose ID or XCLIENT command is believed about the client's address, judged after a PROXY header."
        ),
    )
    client_ca: Path | None = field(
        default=None,
        metadata=_doc("Authorities (PEM) whose client certificates are asked for and accepted, for EXTERNAL."),
    )
    backlog: int = field(
        default=4096,
        metadata=_doc("Connections the kernel may queue for each worker; its own limit is net.core.somaxconn.", min=1),
    )

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port to bind."""
        return split_address(self.address)

    def faults(self) -> Faults:
        """Rules over the keys of one listener."""
        yield from _address_faults("address", self.address)
        if self.tls == "off" and self.client_ca:
            remedy = 'remove it, or set tls = "implicit" or "starttls"'
            yield "client_ca", f"there are no client certificates without TLS; {remedy}"
        if self.tls == "off" and not (self.plaintext_auth or self.proxy_protocol_from or self.forwarded_from):
            remedy = (
                "set plaintext_auth = true if the network is trusted, name the balancer in proxy_protocol_from, "
                'or set tls = "starttls"'
            )
            yield "tls", f"nobody could log in here: without TLS no password is accepted; {remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLoginSettings:
    """How a user who has been recognised is logged in at the backend."""

    mode: Literal["password", "master"] = field(
        default="password",
        metadata=_doc("password: with the user's own password; master: as a master user who acts for the user."),
    )
    tls: TlsMode = field(
        default="starttls",
        metadata=_doc("TLS towards backends; a backend that does not offer it gets no login."),
    )
    verify: bool = field(
        default=True,
        metadata=_doc(
            "Verify the backend's certificate and name; without it whoever stands in between can read along."
        ),
    )
    ca_file: Path | None = field(
        default=None,
        metadata=_doc("Authorities (PEM) for backend certificates; not set: those of the system."),
    )
    master_user: str = field(default="", metadata=_doc("The master user's name at the backends (mode master)."))
    master_password_file: Path | None = field(
        default=None,
        metadata=_doc("File that holds the master user's password and nothing else (mode master)."),
    )
    master_form: Literal["sasl", "separator"] = field(
        default="sasl",
        metadata=_doc("sasl: SASL PLAIN with the user as authorization identity; separator: the name is user*master."),
    )
    master_separator: str = field(
        default="*",
        metadata=_doc("Stands between user and master user in the form separator.", min=1, max=1),
    )
    proxy_protocol: bool = field(
        default=False,
        metadata=_doc("Begin each backend connection with a PROXY v2 header that tells the client's address."),
    )
    forward_client: bool = field(
        default=True,
        metadata=_doc("Tell the backend the client's address by ID or XCLIENT where it offers that, after TLS."),
    )
    source_addresses: tuple[str, ...] = field(
        default=(),
        metadata=_doc("Local addresses to connect from, in turn; empty: the kernel chooses."),
    )
    master_password: Secret | None = field(default=None, metadata={"key": False})

    def faults(self) -> Faults:
        """Rules over the keys of the section."""
        if self.mode == "master" and not self.master_user:
            yield "master_user", 'missing; mode = "master" logs in as this user'
        if self.mode == "master" and self.master_password_file is None:
            yield "master_password_file", 'missing; mode = "master" needs the file with the master user\'s password'
        if self.mode == "password" and (self.master_user or self.master_password_file):
            yield "mode", 'a master user is named but would never be used; set mode = "master", or remove it'
        for position, address in enumerate(self.source_addresses):
            if not is_ip(address):
                yield f"source_addresses[{position}]", f'found "{address}", expected an IP address of this machine'


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """How clients may prove who they are."""

    mechanisms: tuple[Mechanism, ...] = field(
        default=("PLAIN", "LOGIN"),
        metadata=_doc(
            "SASL mechanisms; XOAUTH2 and OAUTHBEARER go to the backend, which judges the token.", at_least=1
        ),
    )
    masters: tuple[str, ...] = field(
        default=(), metadata=_doc("Users who may log in for others with their own password.")
    )
    masters_from: tuple[Network, ...] = field(default=(), metadata=_doc("Networks from which masters may do so."))
    master_separator: str = field(
        default="",
        metadata=_doc('Lets a master type "user*master" as the name, if "*" is set here; "": only by SASL.', max=1),
    )
    reveal_disabled: bool = field(
        default=False,
        metadata=_doc("Tell users whose account is disabled that it is; otherwise they hear of a wrong password."),
    )
    certificate_user: Literal["cn", "email"] = field(
        default="cn",
        metadata=_doc("Which name in a client certificate is the login name (EXTERNAL)."),
    )
    failure_delay: float = field(
        default=2.0,
        metadata=_seconds("Wait before a wrong password is answered; it holds no LDAP connection.", 0.0, 60.0),
    )

    def faults(self) -> Faults:
        """Rules over the keys of the section."""
        if self.masters and not self.masters_from:
            yield "masters_from", "missing; masters may log in only from networks that are named"
        if self.master_separator and not self.masters:
            yield "master_separator", "there is nobody in masters who could use it; name the masters, or remove it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step may take."""

    proxy_header: float = field(default=3.0, metadata=_seconds("Until the PROXY header is complete."))
    handshake: float = field(default=15.0, metadata=_seconds("Until the client's TLS handshake is done."))
    login: float = field(default=180.0, metadata=_seconds("From accept until a login succeeds, over all attempts."))
    login_budget: float = field(
        default=30.0,
        metadata=_seconds("For one attempt with all its retries; a directory still has its own time in it."),
    )
    backend_connect: float = field(default=3.0, metadata=_seconds("Until a backend accepts the connection."))
    backend_greeting: float = field(
        default=10.0, metadata=_seconds("Until a backend has greeted; finds the one that accepts and hangs.")
    )
    backend_tls: float = field(default=10.0, metadata=_seconds("Until the TLS handshake with a backend is done."))
    backend_login: float = field(default=20.0, metadata=_seconds("Until a backend has answered the login."))
    retry_pause: float = field(
        default=1.0, metadata=_seconds("Wait before another backend, or the same one again, is tried.", 0.0, 60.0)
    )
    retries: int = field(
        default=3, metadata=_doc("Further tries after a backend failed, inside login_budget.", min=0, max=20)
    )
    drain: float = field(
        default=30.0, metadata=_seconds("How long sessions may go on when the daemon is told to stop.", 0.0, 86400.0)
    )
    half_close: float = field(
        default=60.0, metadata=_seconds("How long a session lives on after one side has closed its direction.")
    )
    linger: float = field(
        default=5.0, metadata=_seconds("How long pending output is still offered to a peer before the close.")
    )

    def faults(self) -> Faults:
        """Rules over the keys of the section."""
        if self.login_budget > self.login:
            found = f"found {self.login_budget:g}, which is more than login = {self.login:g}"
            yield "login_budget", f"{found}; one attempt is part of the login"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolTexts:
    """What clients are told of the backends before the user is known."""

    sieve_extensions: str = field(
        default=PIGEONHOLE_EXTENSIONS,
        metadata=_doc(
            "What ManageSieve clients are told before login: the extensions that all backends have.", max=4096
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Where the log goes: one line for each session when it ends, and the daemon's own messages."""

    format: Literal["json", "logfmt"] = field(default="json", metadata=_doc("How a line is written."))
    file: Path | None = field(
        default=None,
        metadata=_doc("File to append to, opened again at SIGHUP; not set: standard error.", exists=False),
    )
    level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata=_doc("Least important of the daemon's own messages to be logged.")
    )
    buffer: int = field(
        default=4 * 1024 * 1024,
        metadata=_doc(
            "Session lines a worker keeps while the log cannot be written; further ones are dropped and counted.",
            unit="bytes",
            min=65536,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """The daemon's HTTP address for machines that watch it."""

    metrics: str = field(
        default="127.0.0.1:9390",
        metadata=_doc('IP address and port of /metrics, /healthz and /readyz; "": off.'),
    )
    allow_from: tuple[Network, ...] = field(
        default=(), metadata=_doc("Networks that may ask; this machine always may.")
    )
    api_token_file: Path | None = field(
        default=None,
        metadata=_doc(
            "File with the token, 16 bytes or more, that lets programs ask and order the director below /api/; read at "
            "each request; not set: there is no /api/."
        ),
    )

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port to bind, or None when switched off."""
        return split_address(self.metrics) if self.metrics else None

    def faults(self) -> Faults:
        """Rules over the keys of the section."""
        found = list(_address_faults("metrics", self.metrics)) if self.metrics else []
        yield from found
        if found or self.endpoint is None or self.allow_from:
            return
        if not ipaddress.ip_address(self.endpoint[0]).is_loopback:
            remedy = "name the networks that may ask, or set metrics to an address such as 127.0.0.1:9390"
            yield "allow_from", f"missing; {self.metrics} can be reached from other machines: {remedy}"
