"""A product that is measured: what it is called, what it has, how it is started; and a running one."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest.compare.surroundings import ADDRESS, Surroundings
from loadtest.usage import cpu_seconds, pss_kib

START = 20.0
"""Seconds until the first client is greeted."""

STOP = 10.0

_LOOK = 0.01


class NotHere(Exception):
    """A product cannot be started here; the text says why, if possible in its own words."""


@dataclass(frozen=True, slots=True)
class Running:
    """One that runs: its port for IMAP in TLS at `ADDRESS`, and the process ids at the top of all its trees."""

    port: int
    roots: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far."""
        return sum(map(cpu_seconds, self.roots))

    def pss_kib(self) -> int:
        """Memory of all its processes."""
        return sum(map(pss_kib, self.roots))


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """`has` says what it runs with; `start` makes it listen at a port, with its files in a folder that is its own.

    `version` is a command whose first line names the version. `most_idle` is how many idle sessions are enough to
    measure one that has a process for each; 0: as many as asked for. `start` raises NotHere.
    """

    name: str
    has: str
    start: Callable[[Surroundings, Path, int], AbstractContextManager[Running]]
    version: Sequence[str] = ()
    most_idle: int = 0

    def said_version(self) -> str:
        """What it calls itself; empty when it does not say."""
        if not self.version:
            return ""
        with suppress(OSError, NotHere):
            command = [program(self.version[0]), *self.version[1:]]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
            return next(iter((done.stdout or done.stderr).splitlines()), "")
        return ""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server becomes when root starts it, and whoever we are otherwise."""

    user: str
    group: str


def account() -> Account:
    """An account without rights."""
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name)


def program(name: str, package: str = "") -> str:
    """Its path; `sbin` is not in an ordinary user's PATH. Raises NotHere."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        raise NotHere(f"{name} is not installed (Debian package {package or name})")
    return path


@contextmanager
def process(command: Sequence[str | Path], log: Path, ready: Callable[[], bool]) -> Iterator[int]:
    """A server's process id once it is `ready`, in a group of its own that is ended with it. Raises NotHere."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                ended = "did not begin to serve" if child.returncode is None else f"ended with {child.returncode}"
                raise NotHere(f"{Path(command[0]).name} {ended}: {_last_words(log)}")
            time.sleep(_LOOK)
        yield child.pid
    finally:
        _end(child)


def greets(surroundings: Surroundings, port: int) -> Callable[[], bool]:
    """Whether a server does TLS with our certificate at this port and says something."""
    context = ssl.create_default_context(cafile=str(surroundings.certificate.chain))

    def ready() -> bool:
        with (
            suppress(OSError),
            socket.create_connection((ADDRESS, port), 5.0) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as client,
        ):
            return bool(client.recv(1))
        return False

    return ready


def _last_words(log: Path) -> str:
    """The end of what it has said, on one line."""
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-5:])


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
