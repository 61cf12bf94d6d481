"""What a login, an idle session, a round trip and a gigabyte cost: `python -m loadtest.measure`.

Starts Vestibule with one worker between a client fleet and a backend and directory that cost next to nothing, all on
loopback, and prints CPU time of Vestibule's whole process tree and its memory. Needs no server and no root.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

import tls
from loadtest.responder import Responder
from loadtest.target import Target
from loadtest.usage import cpu_seconds, pss_kib

_MEBIBYTE = 1024 * 1024
_CLIENTS = 16

_CONFIGURATION = """
[node]
workers = 1
run_dir = "{folder}"
user = ""

[[listener]]
protocol = "imap"
address = "127.0.0.1:{port}"
tls = "implicit"

[[certificate]]
chain = "{chain}"
key = "{key}"

[directory]
kind = "ldap"
servers = ["ldap://127.0.0.1:{ldap}"]
base = "ou=people,dc=example,dc=org"
bind_dn = "cn=vestibule,dc=example,dc=org"
bind_password_file = "{folder}/secret"

[backend_login]
tls = "off"

[[shard]]
name = "s1"
[[shard.backend]]
name = "mb1"
host = "127.0.0.1"
ports = {{ imap = {imap} }}

[log]
file = "{folder}/log"

[admin]
metrics = ""
"""


_HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind 127.0.0.1:{port} ssl crt {folder}/haproxy.pem
    default_backend target
backend target
    server target 127.0.0.1:{backend}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """What is measured: a proxy's process and port, its backend's port, how clients verify it, and its files."""

    pid: int
    port: int
    backend: int
    context: ssl.SSLContext
    folder: Path

    def connect(self) -> ssl.SSLSocket:
        """A connection in TLS, by a full handshake."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(sock, server_hostname="localhost")

    def log_in(self, number: int = 0) -> ssl.SSLSocket:
        """A session that is logged in."""
        client = self.connect()
        client.recv(4096)
        ask(client, b"a LOGIN user%d secret\r\n" % number)
        return client


def ask(client: ssl.SSLSocket, command: bytes) -> bytes:
    """The answer to a command, up to its tagged line; raises RuntimeError for one that is not OK."""
    tag = command.partition(b" ")[0]
    client.sendall(command)
    answer = b""
    while not answer.endswith(b"\r\n") or not answer[answer.rfind(b"\n", 0, -1) + 1 :].startswith(tag):
        data = client.recv(65536)
        if not data:
            raise RuntimeError("the connection was closed")
        answer = (answer + data)[-4096:]
    if b"%b OK" % tag not in answer:
        raise RuntimeError(answer.decode(errors="replace"))
    return answer


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="loadtest.measure", description=__doc__)
    parser.add_argument("--logins", type=int, default=2000, help="logins of a round (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=2000, help="idle sessions (default: %(default)s)")
    parser.add_argument("--gibibytes", type=float, default=1.0, help="bulk data of a round (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds, of which the least counts (default: %(default)s)"
    )
    parser.add_argument("--haproxy", action="store_true", help="measure HAProxy beside, which relays and knows no mail")
    options = parser.parse_args()
    with site() as vestibule, ExitStack() as stack:
        systems = {"Vestibule": vestibule}
        if options.haproxy:
            systems["HAProxy"] = stack.enter_context(haproxy(vestibule))
        print(f"{'':<46}" + "".join(f"{name:>12}" for name in systems))
        for name, unit, measure in figures(options.logins, options.gibibytes):
            rounds = [[measure(system) for system in systems.values()] for _ in range(options.rounds)]
            print(f"{name:<46}" + "".join(f"{min(column):12.2f}" for column in zip(*rounds, strict=True)) + f"  {unit}")
        memory = [idle_memory(system, options.sessions) for system in systems.values()]
        for name, column in zip(
            ("idle session", "the same after 256 KiB each way"), zip(*memory, strict=True), strict=True
        ):
            print(f"{name:<46}" + "".join(f"{kib:12.1f}" for kib in column) + "  KiB PSS")
    return 0


def figures(count: int, gibibytes: float) -> list[tuple[str, str, Callable[[Site], float]]]:
    """What is measured in rounds: its name, its unit, and how."""
    return [
        ("login: full TLS 1.3 handshake, LDAP, backend", "µs CPU", lambda site: logins(site, count) * 1e6),
        ("NOOP round trip, 1 busy session", "µs CPU", lambda site: round_trips(site, 1) * 1e6),
        ("NOOP round trip, 32 busy sessions", "µs CPU", lambda site: round_trips(site, 32) * 1e6),
        ("bulk to the client", "s CPU per GiB", lambda site: bulk(site, "SEND", gibibytes)),
        ("bulk to the backend", "s CPU per GiB", lambda site: bulk(site, "TAKE", gibibytes)),
    ]


def logins(site: Site, count: int) -> float:
    """CPU seconds of one login and logout, over `count` of them from 16 clients."""

    def one(number: int) -> None:
        client = site.log_in(number)
        ask(client, b"z LOGOUT\r\n")
        client.close()

    with ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(one, range(100)))
        return _cpu(site, lambda: list(pool.map(one, range(count)))) / count


def round_trips(site: Site, sessions: int, each: int = 300) -> float:
    """CPU seconds of one NOOP with so many sessions busy at once."""
    clients = [site.log_in(number) for number in range(sessions)]
    rounds = each if sessions > 1 else each * 20

    def talk(client: ssl.SSLSocket) -> None:
        for _ in range(rounds):
            ask(client, b"n NOOP\r\n")

    with ThreadPoolExecutor(sessions) as pool:
        spent = _cpu(site, lambda: list(pool.map(talk, clients)))
    for client in clients:
        client.close()
    return spent / (rounds * sessions)


def bulk(site: Site, direction: str, gibibytes: float) -> float:
    """CPU seconds per GiB in one direction, in one session."""
    client = site.log_in()
    size = int(gibibytes * 1024) * _MEBIBYTE

    def send() -> None:
        ask(client, b"b SEND %d\r\n" % size)

    def take() -> None:
        client.sendall(b"b TAKE %d\r\n" % size)
        for _ in range(size // _MEBIBYTE):
            client.sendall(bytes(_MEBIBYTE))
        ask(client, b"c NOOP\r\n")

    spent = _cpu(site, send if direction == "SEND" else take)
    client.close()
    return spent / gibibytes


def idle_memory(site: Site, count: int) -> tuple[float, float]:
    """KiB of memory of one idle session, and the same after each has moved 256 KiB each way."""
    empty = pss_kib(site.pid)
    with ThreadPoolExecutor(_CLIENTS) as pool:
        clients = list(pool.map(site.log_in, range(count)))
        time.sleep(1.0)  # the last logins' objects are gone by then; a measurement, not a test
        before = pss_kib(site.pid)
        list(pool.map(_move, clients))
        time.sleep(1.0)
        after = pss_kib(site.pid)
    for client in clients:
        client.close()
    return (before - empty) / count, (after - empty) / count


def _move(client: ssl.SSLSocket) -> None:
    ask(client, b"d SEND 262144\r\n")
    client.sendall(b"u TAKE 262144\r\n" + bytes(262144))
    ask(client, b"n NOOP\r\n")


def _cpu(site: Site, action: Callable[[], object]) -> float:
    before = cpu_seconds(site.pid)
    action()
    return cpu_seconds(site.pid) - before


@contextmanager
def site() -> Iterator[Site]:
    """Vestibule, its backend and its directory, each in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="vestibule-measure-") as name:
        folder = Path(name)
        authority = tls.ThrowawayAuthority()
        files = authority.issue(folder, "server", dns=("localhost",))
        context = tls.backend_context(authority.write_ca(folder / "ca.pem"), True)
        (folder / "secret").write_text("secret")
        ldap, imap, port = (_free_port() for _ in range(3))
        configuration = folder / "vestibule.toml"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, port=port, chain=files.chain, key=files.key, ldap=ldap, imap=imap)
        )
        peers = [multiprocessing.Process(target=_serve, args=args) for args in ((Responder, ldap), (Target, imap))]
        for peer in peers:
            peer.start()
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(configuration)]
        daemon = subprocess.Popen(command)
        try:
            log = folder / "log"
            _until(lambda: log.exists() and "vestibule: ready" in log.read_text(), daemon)
            yield Site(daemon.pid, port, imap, context, folder)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
            for peer in peers:
                peer.terminate()
                peer.join()


@contextmanager
def haproxy(beside: Site) -> Iterator[Site]:
    """HAProxy with one thread, with the certificate and in front of the backend of another proxy."""
    folder, port = beside.folder, _free_port()
    both = (folder / "server.pem").read_bytes() + (folder / "server.key").read_bytes()
    (folder / "haproxy.pem").write_bytes(both)
    configuration = folder / "haproxy.cfg"
    configuration.write_text(_HAPROXY.format(folder=folder, port=port, backend=beside.backend))
    process = subprocess.Popen(["haproxy", "-db", "-f", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _accepts(port), process)
        yield Site(process.pid, port, beside.backend, beside.context, folder)
    finally:
        process.terminate()
        process.wait(60)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(protocol: type[asyncio.Protocol], port: int) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the proxy did not start")
        time.sleep(0.01)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
