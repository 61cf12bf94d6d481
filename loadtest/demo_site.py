"""The site that the demo shows: certificates, users, two shards of two simulated backends, and a configuration."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.backends import Backend
from tls import CertificateFiles, ThrowawayAuthority

LDIF = Path(__file__).with_name("demo.ldif")

ADDRESS = "127.0.0.1"

LISTENERS: Mapping[str, tuple[str, str, int]] = {
    "imaps": ("imap", "implicit", 10993),
    "imap": ("imap", "starttls", 10143),
    "pop3s": ("pop3", "implicit", 10995),
    "pop3": ("pop3", "starttls", 10110),
    "sieves": ("managesieve", "implicit", 14191),
    "sieve": ("managesieve", "starttls", 14190),
}
"""Name -> protocol, TLS mode, and the port if it is free."""

METRICS_PORT = 19390

BACKENDS: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "north": {"north-a": ("127.0.0.11", 1), "north-b": ("127.0.0.12", 2)},
    "south": {"south-a": ("127.0.0.13", 1), "south-b": ("127.0.0.14", 1)},
}
"""Shard -> backend -> address and priority: north has a first server and a spare, south shares its users out."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody in the LDIF file."""

    name: str
    password: str
    shard: str


@dataclass(frozen=True, slots=True)
class DemoSite:
    """What the demo needs to know of the site."""

    config: Path
    ca_file: Path
    ports: Mapping[str, int]
    users: tuple[User, ...]
    backends: tuple[Backend, ...]


@asynccontextmanager
async def open_site(folder: Path, workers: int = 2) -> AsyncIterator[DemoSite]:
    """Make the site in `folder`; its backends run inside the block. Raises OSError when an address cannot be used."""
    authority = ThrowawayAuthority("Vestibule demo")
    ca_file = authority.write_ca(folder / "ca.pem")
    front = authority.issue(folder, "front", dns=["localhost"], ips=[ADDRESS])
    users = tuple(read_users(LDIF.read_text()))
    names = [user.name for user in users]
    async with AsyncExitStack() as stack:
        backends = [
            await stack.enter_async_context(
                Backend(name, address, users=names, tls="starttls", context=_context(folder, authority, name, address))
            )
            for shard in BACKENDS.values()
            for name, (address, _) in shard.items()
        ]
        ports = {name: free_port(port) for name, (_, _, port) in LISTENERS.items()}
        ports["metrics"] = free_port(METRICS_PORT)
        config = folder / "vestibule.toml"
        config.write_text(configuration(folder, front, ca_file, ports, backends, workers))
        yield DemoSite(config, ca_file, ports, users, tuple(backends))


def read_users(ldif: str) -> Iterable[User]:
    """The users of an LDIF text that is as simple as the demo's."""
    for record in ldif.split("\n\n"):
        values = dict(re.findall(r"(?m)^(\w+): (.*)$", record))
        if "uid" in values:
            yield User(values["uid"], values["userPassword"], values["mailHost"])


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port of {ADDRESS} is free")


def configuration(
    folder: Path,
    front: CertificateFiles,
    ca_file: Path,
    ports: Mapping[str, int],
    backends: Iterable[Backend],
    workers: int,
) -> str:
    """The configuration file, as an operator would write it."""
    served = {backend.name: backend.ports for backend in backends}
    shards = [_shard(name, members, served) for name, members in BACKENDS.items()]
    return "\n".join([_HEAD.format(folder=folder, workers=workers), *_listeners(ports), *shards]) + (
        _TAIL.format(front=front, ca_file=ca_file, ldif=LDIF, metrics=f"{ADDRESS}:{ports['metrics']}")
    )


_HEAD = """\
[node]
workers = {workers}
run_dir = "{folder}"
user = ""   # stay who runs the demo
"""

_LISTENER = """\
[[listener]]
protocol = "{protocol}"
address = "{address}:{port}"
tls = "{tls}"
"""

_BACKEND = """\
[[shard.backend]]
name = "{name}"
host = "{address}"
priority = {priority}
ports = {{ imap = {ports[imap]}, pop3 = {ports[pop3]}, managesieve = {ports[managesieve]} }}
"""

_TAIL = """
[[certificate]]
chain = "{front.chain}"
key = "{front.key}"

[directory]
kind = "ldif"
file = "{ldif}"

[directory.attributes]
user = "uid"
shard = "mailHost"
preferred = "mailPreferredReplica"

[backend_login]
mode = "password"
tls = "starttls"
ca_file = "{ca_file}"

[admin]
metrics = "{metrics}"

[log]
format = "logfmt"
"""


def _listeners(ports: Mapping[str, int]) -> list[str]:
    return [
        _LISTENER.format(protocol=protocol, address=ADDRESS, port=ports[name], tls=tls)
        for name, (protocol, tls, _) in LISTENERS.items()
    ]


def _shard(name: str, members: Mapping[str, tuple[str, int]], served: Mapping[str, Mapping[str, int]]) -> str:
    tables = [
        _BACKEND.format(name=backend, address=address, priority=priority, ports=served[backend])
        for backend, (address, priority) in members.items()
    ]
    return "\n".join([f'[[shard]]\nname = "{name}"\n', *tables])


def _context(folder: Path, authority: ThrowawayAuthority, name: str, address: str) -> ssl.SSLContext:
    files = authority.issue(folder, name, dns=[f"{name}.demo.example"], ips=[address])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context
