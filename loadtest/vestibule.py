"""The daemon itself in front of whatever is tested: configured by a plan, started, watched, and ended.

It is started as an operator starts it, by `vestibule serve`, with a configuration file that can be read in its folder
afterwards. Listeners do TLS from the first byte; backends are reached without TLS, by the users' own passwords.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tls
from loadtest.people import PEOPLE, SERVICE_DN, SERVICE_PASSWORD

READY = "vestibule: ready"

START = 30.0
"""Seconds it has to become ready."""

STOP = 20.0
"""Seconds it has to end before all its processes are killed; no session that matters should be open by then."""

_PORTS = range(12_000, 32_000)
"""Below those the kernel gives to outgoing connections, which could take one before the daemon does (ip(7))."""

_LOOK = 0.01

Backend = tuple[str, str, Mapping[str, int], int]
"""Name, address, ports by protocol, priority."""


class VestibuleFailed(Exception):
    """The daemon did not become ready; the text is what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the daemon is to be.

    `listeners` maps a protocol (imap, pop3, managesieve) to its address and port, 0 for a free one; `shards` are names
    with their backends. `directory` is the URL of an LDAP server that holds `loadtest.people`. `extra` is more TOML
    for the end of the file: sections of its own, such as `[timeouts]`.
    """

    listeners: Mapping[str, tuple[str, int]]
    shards: Sequence[tuple[str, Sequence[Backend]]]
    directory: str
    workers: int = 1
    mirror: bool = False
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon: its supervisor's process id, where it listens, and how clients verify it (as `localhost`).

    `metrics` is the URL of the metrics page, `log` the file with its JSON lines, `configuration` the file that other
    commands (`vestibule drain --config ...`) need.
    """

    pid: int
    ports: Mapping[str, int]
    address: str
    context: ssl.SSLContext
    metrics: str
    folder: Path
    log: Path
    configuration: Path


@contextmanager
def vestibule(folder: Path, plan: Plan, certificate: tls.CertificateFiles | None = None) -> Iterator[Daemon]:
    """The daemon, ready inside the block; its files are in `folder`, whose path is short (a socket's holds 107 bytes).

    Without `certificate` it gets one of its own: ECDSA P-256 for `localhost` and the listeners' addresses. One that is
    given has its authority in the same file. Raises VestibuleFailed with the daemon's own words, and OSError.
    """
    given = certificate or own_certificate(folder, [address for address, _ in plan.listeners.values()])
    ports = {protocol: port or free_port(address) for protocol, (address, port) in plan.listeners.items()}
    metrics = f"127.0.0.1:{free_port('127.0.0.1')}"
    (folder / "secret").write_text(SERVICE_PASSWORD)
    configuration = folder / "vestibule.toml"
    configuration.write_text(_toml(folder, plan, given, ports, metrics))
    process = _start(folder, configuration)
    try:
        _wait_until_ready(folder, process)
        yield Daemon(
            pid=process.pid,
            ports=ports,
            address=next(iter(plan.listeners.values()))[0],
            context=tls.backend_context(given.chain, True),
            metrics=f"http://{metrics}/metrics",
            folder=folder,
            log=folder / "log",
            configuration=configuration,
        )
    finally:
        _end(process)


def own_certificate(folder: Path, addresses: Sequence[str] = ()) -> tls.CertificateFiles:
    """A throw-away certificate for `localhost`, ECDSA P-256; the file of the chain has its authority as well."""
    authority = tls.ThrowawayAuthority("Vestibule load test")
    return authority.issue(folder, "server", dns=["localhost"], ips=sorted({*addresses, "127.0.0.1"}))


def counters(daemon: Daemon) -> dict[str, float]:
    """Every sample of the metrics page: name with labels -> value. Raises OSError."""
    with urllib.request.urlopen(daemon.metrics, timeout=10) as reply:  # noqa: S310 (our own address)
        text = reply.read().decode()
    samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def free_port(address: str) -> int:
    """A TCP port of `address` that nobody uses, outside of those for outgoing connections. Raises OSError."""
    for _ in range(100):
        port = random.choice(_PORTS)
        with suppress(OSError), closing(socket.socket(_family(address))) as probe:
            probe.bind((address, port))
            return port
    raise OSError(f"no port of {address} is free")


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _start(folder: Path, configuration: Path) -> subprocess.Popen[bytes]:
    """In a process group of its own: a terminal's Ctrl-C is ours to judge, and whatever is left can be ended."""
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(configuration)]
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def _wait_until_ready(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START
    while READY not in _said(folder):
        if process.poll() is not None or time.monotonic() > deadline:
            ended = (
                f"ended with {process.returncode}" if process.returncode is not None else f"not ready in {START:g} s"
            )
            raise VestibuleFailed(f"vestibule serve: {ended}: {_said(folder)[-4000:].strip()}")
        time.sleep(_LOOK)


def _said(folder: Path) -> str:
    files = (folder / "output", folder / "log")
    return "".join(file.read_text(errors="replace") for file in files if file.exists())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _toml(folder: Path, plan: Plan, certificate: tls.CertificateFiles, ports: Mapping[str, int], metrics: str) -> str:
    """The configuration file; JSON's strings, numbers and lists are TOML's."""
    tables: list[tuple[str, Mapping[str, Any]]] = [
        ("[node]", {"name": "loadtest", "workers": plan.workers, "run_dir": folder, "user": ""})
    ]
    for protocol, (address, _) in plan.listeners.items():
        host = f"[{address}]" if ":" in address else address
        tables.append(("[[listener]]", {"protocol": protocol, "address": f"{host}:{ports[protocol]}"}))
    tables.append(("[[certificate]]", {"chain": certificate.chain, "key": certificate.key}))
    tables.append(("[directory]", _directory(folder, plan)))
    tables.append(("[backend_login]", {"tls": "off"}))
    for shard, backends in plan.shards:
        tables.append(("[[shard]]", {"name": shard}))
        for name, address, backend_ports, priority in backends:
            values = {"name": name, "host": address, "priority": priority}
            values.update({f"ports.{protocol}": port for protocol, port in backend_ports.items()})
            tables.append(("[[shard.backend]]", values))
    tables += [("[log]", {"file": folder / "log"}), ("[admin]", {"metrics": metrics})]
    return "\n".join(_table(heading, values) for heading, values in tables) + f"\n{plan.extra}\n"


def _directory(folder: Path, plan: Plan) -> dict[str, Any]:
    return {
        "kind": "ldap",
        "servers": [plan.directory],
        "base": PEOPLE,
        "bind_dn": SERVICE_DN,
        "bind_password_file": folder / "secret",
        "mirror": plan.mirror,
    }


def _table(heading: str, values: Mapping[str, Any]) -> str:
    return "".join([f"{heading}\n", *(f"{key} = {json.dumps(value, default=str)}\n" for key, value in values.items())])
