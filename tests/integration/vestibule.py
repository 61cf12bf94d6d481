"""The daemon itself, started as an operator starts it: `vestibule serve --config FILE`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .addresses import free_ports, unused_address
from .processes import children, group_members, kill_group, service_account, short_folder, start, stop_group, title
from .toml import to_toml
from .wait import wait_until

READY = "vestibule: ready"

LISTENERS = {
    "imaps": ("imap", "implicit"),
    "imap": ("imap", "starttls"),
    "pop3s": ("pop3", "implicit"),
    "pop3": ("pop3", "starttls"),
    "sieves": ("managesieve", "implicit"),
    "sieve": ("managesieve", "starttls"),
}
"""The listeners a test gets unless it brings its own: name -> protocol and TLS mode."""


class Vestibule:
    """One running daemon. `ports` maps the names of `LISTENERS` to ports of `address`.

    `sections` is the configuration as nested dictionaries; `[[listener]]`, `[admin] metrics` and what `[node]` and
    `[log]` need to run beside others are added here. `listener` is added to every listener. `prefix` is what its
    command line begins with, for example to run in a network namespace that has `address`.
    """

    def __init__(
        self,
        sections: Mapping[str, Any],
        *,
        workers: int = 2,
        address: str = "",
        listener: Mapping[str, Any] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.address = address or unused_address()
        self._prefix = tuple(prefix)
        # A namespace has its own ports, all free but for those of ours: any that differ will do.
        *ports, self._metrics_port = free_ports("127.0.0.1" if prefix else self.address, len(LISTENERS) + 1)
        self.ports = dict(zip(LISTENERS, ports, strict=True))
        self.home = short_folder("vest")
        self._discard = weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)
        self.config = self.home / "vestibule.toml"
        self._workers = workers
        self._listener = dict(listener or {})
        self.configure(sections)

    def __enter__(self) -> Vestibule:
        try:
            self.start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- log of the daemon ---\n{self.log()[-20000:]}")
        left = self.stop()
        log = self.log()
        self._clean()
        if error is None:
            assert not left, f"processes left behind: {left}"
            assert "Traceback (most recent call last)" not in log, log

    # --- the process ---

    def start(self) -> None:
        """Start it (again), and return when it is ready."""
        begun = self.log().count(READY)
        serve = [*self._prefix, *command("serve", "--config", str(self.config))]
        self._process = start(serve, self.home / "log", as_service=False)
        wait_until(lambda: self._ready(begun), "the daemon to be ready")

    def kill(self) -> None:
        """End all its processes at once, as a power failure would, except that the kernel closes its sockets."""
        kill_group(self._process)

    def stop(self) -> list[int]:
        """Ask the supervisor to end, wait until it has, and return what is left of its processes (then killed)."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30.0)
        left = group_members(self._process.pid)
        kill_group(self._process)
        return left

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self._process.send_signal(number)

    def exit_code(self) -> int | None:
        """The supervisor's exit code; None while it runs."""
        return self._process.poll()

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [pid for pid in children(self._process.pid) if title(pid).startswith("vestibule-w")]

    def kill_worker(self, pid: int = 0) -> int:
        """Kill a worker as a crash would; returns its process id."""
        victim = pid or self.workers()[0]
        os.kill(victim, signal.SIGKILL)
        return victim

    def kill_mirror(self) -> None:
        """Kill the process that keeps the mirror as a crash would."""
        self._kill_child("vestibule-mir")

    def kill_director(self) -> None:
        """Kill the process that knows who is where as a crash would."""
        self._kill_child("vestibule-dir")

    def worker_of(self, client: socket.socket) -> int:
        """The worker that holds the other end of a client's connection."""
        inode = _inode_of(client.getpeername()[:2], client.getsockname()[:2])
        return next(pid for pid in self.workers() if _holds(pid, inode))

    def configure(self, sections: Mapping[str, Any]) -> None:
        """Write the configuration (anew); a running daemon reads it at SIGHUP."""
        self.config.write_text(to_toml(self._complete(sections)))

    # --- what it says ---

    def log(self) -> str:
        """Everything it has written."""
        path = self.home / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def log_lines(self) -> list[dict[str, Any]]:
        """Its JSON log lines."""
        lines = self.log().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """The first match of a regular expression in the log, as soon as there is one."""
        return wait_until(lambda: re.search(pattern, self.log()), f"{pattern!r} in the daemon's log")

    def session(self, *, after: int = 0, **fields: object) -> dict[str, Any]:
        """The log line of an ended session with these values, as soon as it is written; not among the first `after`,
        which may be of another that had the same port."""

        def found() -> dict[str, Any] | None:
            return next((line for line in self.log_lines()[after:] if fields.items() <= line.items()), None)

        return wait_until(found, f"a log line with {fields}")

    def metrics(self) -> dict[str, float]:
        """Every sample of the metrics page: name with labels -> value."""
        text = self.get("/metrics")
        samples = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in samples}

    def get(self, path: str) -> str:
        """A page of the admin listener."""
        with urllib.request.urlopen(f"http://{self.address}:{self._metrics_port}{path}", timeout=10) as reply:
            return str(reply.read().decode())

    # --- details ---

    def _complete(self, sections: Mapping[str, Any]) -> dict[str, Any]:
        host = f"[{self.address}]" if ":" in self.address else self.address
        listeners = [
            {"protocol": protocol, "address": f"{host}:{self.ports[name]}", "tls": tls, **self._listener}
            for name, (protocol, tls) in LISTENERS.items()
        ]
        user = service_account().user
        node = {"workers": self._workers, "run_dir": self.home, "user": user, **sections.get("node", {})}
        admin = {"metrics": f"{host}:{self._metrics_port}", **sections.get("admin", {})}
        defaults = {"listener": listeners, "log": {"format": "json"}}
        return {**defaults, **sections, "node": node, "admin": admin}

    def _kill_child(self, name: str) -> None:
        for pid in children(self._process.pid):
            if title(pid) == name:
                os.kill(pid, signal.SIGKILL)

    def _ready(self, begun: int) -> bool:
        assert self._process.poll() is None, f"the daemon did not start:\n{self.log()}\n{self.config.read_text()}"
        return self.log().count(READY) > begun

    def _clean(self) -> None:
        if hasattr(self, "_process"):
            stop_group(self._process)
        self._discard()


def command(*arguments: str) -> list[str]:
    """The command line of the daemon's program in the environment that runs the tests."""
    installed = Path(sys.executable).with_name("vestibule")
    return [str(installed), *arguments] if installed.exists() else [sys.executable, "-m", "proxy", *arguments]


def _inode_of(local: tuple[str, int], remote: tuple[str, int]) -> str:
    """The inode of the connection between two IPv4 addresses, as proc(5) /proc/net/tcp tells it."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return next(row[9] for row in rows if row[1] == _hexadecimal(*local) and row[2] == _hexadecimal(*remote))


def _hexadecimal(address: str, port: int) -> str:
    return socket.inet_aton(address)[::-1].hex().upper() + f":{port:04X}"


def _holds(pid: int, inode: str) -> bool:
    """Whether a process has the socket with this inode open."""
    with contextlib.suppress(OSError):
        return any(os.readlink(entry) == f"socket:[{inode}]" for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False
