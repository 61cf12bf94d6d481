"""The whole daemon in front of simulated backends, for the measurements of the director."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import tls
from director import ask
from loadtest.director_backend import BackendProcess, free_port
from loadtest.director_client import Front
from loadtest.people import BASE, PEOPLE, SERVICE_DN, ldif
from loadtest.slapd import Slapd
from loadtest.usage import cpu_seconds, tree

PATIENCE = 30.0
"""Seconds the daemon has to start, and to end."""

_KINDS = {"director": "vestibule-dir", "workers": "vestibule-w", "mirror": "vestibule-mir"}

_CONFIGURATION = """
[node]
run_dir = "{folder}"
user = ""

[[listener]]
protocol = "imap"
address = "127.0.0.1:{port}"
tls = "implicit"

[[certificate]]
chain = "{chain}"
key = "{key}"

[backend_login]
tls = "off"

[log]
file = "{folder}/log"

[admin]
metrics = ""

"""


class Daemon:
    """A running daemon at default settings but for what a site has to say."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], front: Front) -> None:
        self.folder = folder
        self.front = front
        self._process = process

    def processes(self) -> dict[int, str]:
        """Its processes and their names."""
        return {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in tree(self._process.pid)}

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of its processes, by their kind: "director", "workers" and "mirror"."""
        spent = dict.fromkeys(_KINDS, 0.0)
        for pid, name in self.processes().items():
            for kind, begin in _KINDS.items():
                spent[kind] += cpu_seconds(pid) if name.startswith(begin) else 0.0
        return spent

    def wait_for(self, backends: Iterable[BackendProcess]) -> None:
        """Return when the director knows them, from the directory. Raises TimeoutError."""
        wanted, deadline = {backend.name for backend in backends}, time.monotonic() + PATIENCE
        while not wanted <= {row["backend"] for row in self.ask(ask="backends")}:
            if time.monotonic() > deadline:
                raise TimeoutError("the director has not heard of all shards")
            time.sleep(0.05)

    def ask(self, **question: Any) -> list[dict[str, Any]]:
        """What the director answers an operator; a listing's rows. Blocks."""
        answers = list(ask(self.folder / "control.sock", question))
        return [row for answer in answers for row in answer.get("rows", [answer])]

    def order(self, *words: str) -> None:
        """Give an order as an operator does, at the command line. Raises subprocess.CalledProcessError."""
        command = [sys.executable, "-m", "proxy", *words, "--config", str(self.folder / "vestibule.toml"), "--json"]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def daemon(sections: str) -> Iterator[Daemon]:
    """The daemon with these further sections of its configuration. Raises OSError if it does not start."""
    with tempfile.TemporaryDirectory(prefix="vestibule-measure-") as name:
        folder, port = Path(name), free_port("127.0.0.1")
        authority = tls.ThrowawayAuthority()
        files = authority.issue(folder, "server", dns=("localhost",))
        context = tls.backend_context(authority.write_ca(folder / "ca.pem"), True)
        head = _CONFIGURATION.format(folder=folder, port=port, chain=files.chain, key=files.key)
        (folder / "vestibule.toml").write_text(head + sections)
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(folder / "vestibule.toml")]
        process = subprocess.Popen(command)
        try:
            _wait_until_ready(folder / "log", process)
            yield Daemon(folder, process, Front(port, context))
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_ready(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (log.exists() and "vestibule: ready" in log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text()[-2000:] if log.exists() else ""
            raise OSError(f"the daemon did not start\n{said}")
        time.sleep(0.01)


def shard_table(name: str, backends: Iterable[BackendProcess]) -> str:
    """`[[shard]]`: the first of the backends goes first."""
    tables = [
        f'[[shard.backend]]\nname = "{each.name}"\nhost = "{each.host}"\npriority = {rank}\n'
        f"ports = {{ imap = {each.port} }}\n"
        for rank, each in enumerate(backends, 1)
    ]
    return "\n".join([f'[[shard]]\nname = "{name}"\n', *tables])


SHARDS = f"ou=shards,{BASE}"


@contextmanager
def directory(users: int, shards: Mapping[str, Sequence[BackendProcess]]) -> Iterator[Slapd]:
    """A directory of users who all belong to the first of these shards, and of the shards' entries.

    Raises SlapdFailed, and OSError.
    """
    first = next(iter(shards))
    people = (re.sub(r"(?m)^mailHost: .*$", f"mailHost: {first}", piece) for piece in ldif(users))
    with Slapd(chain(people, [_shard_entries(shards)])) as server:
        yield server


def follow(server: Slapd) -> str:
    """The sections of a daemon that keeps a mirror of such a directory."""
    return f"""
[directory]
kind = "ldap"
servers = ["{server.ldaps}"]
base = "{PEOPLE}"
bind_dn = "{SERVICE_DN}"
bind_password_file = "{server.password_file}"
ca_file = "{server.ca_file}"
mirror = true

[directory.shards]
base = "{SHARDS}"
filter = "(objectClass=organizationalRole)"
backends = "description"
"""


def shard_dn(name: str) -> str:
    """The DN of a shard's entry."""
    return f"cn={name},{SHARDS}"


def _shard_entries(shards: Mapping[str, Sequence[BackendProcess]]) -> str:
    """Without a schema for them: the standard one has what is needed."""
    entries = [f"dn: {SHARDS}\nobjectClass: organizationalUnit\nou: shards\n"]
    for name, backends in shards.items():
        values = "".join(
            f"description: {backend_value(backend, priority)}\n" for priority, backend in enumerate(backends, 1)
        )
        entries.append(f"dn: {shard_dn(name)}\nobjectClass: organizationalRole\ncn: {name}\n{values}")
    return "\n".join(entries) + "\n"


def backend_value(backend: BackendProcess, priority: int = 1) -> str:
    """The same as the value of a shard's entry."""
    return f"{backend.name} host={backend.host} priority={priority} imap={backend.port}"


def ldif_users(users: Mapping[str, str], password: str) -> str:
    """Users and their shards as a directory in a file."""
    base = "ou=people,dc=example,dc=org"
    return "".join(
        f"dn: uid={user},{base}\nobjectClass: inetOrgPerson\nuid: {user}\ncn: {user}\nsn: {user}\n"
        f"userPassword: {password}\nmailHost: {shard}\n\n"
        for user, shard in users.items()
    )
