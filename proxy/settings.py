"""`Settings`: the whole configuration file as one frozen value, with the rules over several of its sections."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from director import BackendSettings, DirectorSettings, ShardSettings, shard_faults
from ldapmap import DirectorySettings, parse_address
from proxy.protocols.limits import Limits
from proxy.sections import (
    AdminSettings,
    AuthSettings,
    BackendLoginSettings,
    Faults,
    ListenerSettings,
    LogSettings,
    Network,
    NodeSettings,
    ProtocolName,
    ProtocolTexts,
    Timeouts,
    TlsMode,
    is_ip,
)
from tls import CertificateFiles

__all__ = [
    "AdminSettings",
    "AuthSettings",
    "BackendLoginSettings",
    "ListenerSettings",
    "LogSettings",
    "Network",
    "NodeSettings",
    "ProtocolName",
    "ProtocolTexts",
    "Settings",
    "Timeouts",
    "TlsMode",
]

DEFAULT_PORTS: Mapping[ProtocolName, Mapping[TlsMode, int]] = {
    "imap": {"off": 143, "starttls": 143, "implicit": 993},
    "pop3": {"off": 110, "starttls": 110, "implicit": 995},
    "managesieve": {"off": 4190, "starttls": 4190, "implicit": 4190},
}
"""A backend's port, by protocol and by the TLS mode of `[backend_login]` (RFC 8314, RFC 5804)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration file."""

    node: NodeSettings = field(default_factory=NodeSettings, metadata={"doc": "This machine and its processes."})
    listener: tuple[ListenerSettings, ...] = field(
        metadata={"doc": "The addresses on which clients are received.", "at_least": 1}
    )
    certificate: tuple[CertificateFiles, ...] = field(
        default=(),
        metadata={"doc": "Certificates, chosen by the name the client asks for; the first is the default."},
    )
    directory: DirectorySettings = field(metadata={"doc": "Who the users are and where their mail lives."})
    backend_login: BackendLoginSettings = field(
        default_factory=BackendLoginSettings, metadata={"doc": "How users are logged in at the backend."}
    )
    auth: AuthSettings = field(default_factory=AuthSettings, metadata={"doc": "How clients may prove who they are."})
    limits: Limits = field(
        default_factory=Limits, metadata={"doc": "What may be sent before login, and how much of it."}
    )
    timeouts: Timeouts = field(default_factory=Timeouts, metadata={"doc": "How long each step may take."})
    shard: tuple[ShardSettings, ...] = field(
        default=(),
        metadata={
            "doc": "The servers, in groups that hold the mail of the same users. At least one is needed, unless "
            "directory.shards says where more are found."
        },
    )
    director: DirectorSettings = field(
        default_factory=DirectorSettings,
        metadata={"doc": "Which server of a shard a user gets, and for how long."},
    )
    texts: ProtocolTexts = field(
        default_factory=ProtocolTexts, metadata={"doc": "What is said before the user is known."}
    )
    log: LogSettings = field(default_factory=LogSettings, metadata={"doc": "Where the log goes."})
    admin: AdminSettings = field(
        default_factory=AdminSettings, metadata={"doc": "The address for machines that watch the daemon."}
    )
    file: Path | None = field(default=None, metadata={"key": False})

    @property
    def protocols(self) -> tuple[ProtocolName, ...]:
        """The protocols that have a listener, in the order of their names."""
        return tuple(sorted({listener.protocol for listener in self.listener}))

    @property
    def backends(self) -> tuple[BackendSettings, ...]:
        """The backends of all shards, in the order of the file."""
        return tuple(backend for shard in self.shard for backend in shard.backend)

    @property
    def mirror_path(self) -> Path | None:
        """The directory of the route mirror's files; None: no mirror is kept."""
        if not self.directory.mirror:
            return None
        return self.directory.follow.path or self.node.run_dir / "mirror"

    @property
    def directory_servers(self) -> tuple[str, ...]:
        """The addresses of the directory's servers, as metrics name them."""
        return tuple(str(parse_address(server.url)) for server in self.directory.ordered_servers)

    def backend_port(self, ports: Mapping[str, int], protocol: ProtocolName) -> int:
        """A backend's port for a protocol: its own entry, or the default for the TLS mode of `[backend_login]`."""
        return ports.get(protocol, DEFAULT_PORTS[protocol][self.backend_login.tls])

    def faults(self) -> Faults:
        """Rules over several sections."""
        if not self.shard and not self.directory.shards.base:
            yield "shard", "missing; add a [[shard]] with the servers, or name their entries in [directory.shards]"
        yield from self._certificate_faults()
        yield from self._mechanism_faults()
        yield from self._passthrough_faults()
        yield from self._probe_faults()
        yield from self._repeated_names()
        yield from self._loops()

    def _certificate_faults(self) -> Faults:
        for position, listener in enumerate(self.listener):
            if listener.tls != "off" and not self.certificate:
                yield (
                    f"listener[{position}].tls",
                    f'"{listener.tls}" needs a [[certificate]] with chain and key; add it',
                )

    def _mechanism_faults(self) -> Faults:
        """A mechanism that brings no password needs another way into the backend, and the other way round."""
        key, offered, mode = "auth.mechanisms", self.auth.mechanisms, self.backend_login.mode
        if "EXTERNAL" in offered and not any(listener.client_ca for listener in self.listener):
            yield key, "EXTERNAL needs client certificates; set client_ca at a listener, or remove EXTERNAL"
        if "EXTERNAL" in offered and mode != "master":
            remedy = 'set mode = "master" in [backend_login], or remove EXTERNAL'
            yield key, f"EXTERNAL brings no password for the backend; {remedy}"

    def _passthrough_faults(self) -> Faults:
        """A password that is not checked here has to be checked by the backend."""
        if self.backend_login.mode != "master":
            return
        places: list[tuple[str, str]] = [("directory.auth", self.directory.auth)]
        places += [(f"directory.domain[{number}].auth", one.auth) for number, one in enumerate(self.directory.domain)]
        for key, auth in places:
            if auth == "passthrough":
                remedy = 'set auth = "bind", or mode = "password" in [backend_login]'
                yield key, f'"passthrough" with a master user would let anybody in; {remedy}'

    def _probe_faults(self) -> Faults:
        """The probe that logs in does so as users do: with a password of its own, or by the master user."""
        health, key = self.director.health, "director.health.probe_password_file"
        if health.probe != "login" and health.probe_password_file is not None:
            yield key, 'there is a password that no probe would use; set probe = "login", or remove it'
        elif health.probe == "login" and self.backend_login.mode == "master" and health.probe_password_file is not None:
            yield key, "the master user of [backend_login] logs in for probe_user; remove it"
        elif health.probe == "login" and self.backend_login.mode != "master" and health.probe_password_file is None:
            yield key, 'missing; probe = "login" needs the file with the password of probe_user'

    def _repeated_names(self) -> Faults:
        seen: dict[tuple[str, int], int] = {}
        for position, listener in enumerate(self.listener):
            first = seen.setdefault(listener.endpoint, position)
            if first != position and listener.endpoint[1]:
                yield f"listener[{position}].address", f"{listener.address} is that of listener[{first}]; take another"
        for key, message in shard_faults(self.shard):
            yield "shard" + re.sub(r"\.?(\d+)", r"[\1]", key), message

    def _loops(self) -> Faults:
        """A backend that is one of our own listeners."""
        for key, backend in self._places():
            for protocol in self.protocols:
                port = self.backend_port(backend.ports, protocol)
                for listener in self.listener:
                    host, own_port = listener.endpoint
                    if port == own_port and _reaches(backend.host, host):
                        remedy = "a login would never arrive; name the mail server itself, or its other port"
                        found = f"{backend.host} port {port} ({protocol}) is our own listener {listener.address}"
                        yield f"{key}.host", f"{found}: {remedy}"

    def _places(self) -> Iterator[tuple[str, BackendSettings]]:
        for i, shard in enumerate(self.shard):
            for j, backend in enumerate(shard.backend):
                yield f"shard[{i}].backend[{j}]", backend


def _reaches(host: str, listening: str) -> bool:
    """Whether a connection to `host` surely ends at the address we listen on; no name but localhost is resolved."""
    host = "127.0.0.1" if host.lower() == "localhost" else host
    if not is_ip(host):
        return False
    backend, own = ipaddress.ip_address(host), ipaddress.ip_address(listening)
    return backend == own or (own.is_unspecified and backend.is_loopback and backend.version <= own.version)
