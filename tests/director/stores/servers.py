"""Real Redis servers for tests: each on an address and in a folder of its own, gone when the block ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.addresses import accepts, free_ports, unused_address
from tests.integration.processes import group_members, kill_group, program, short_folder, start
from tests.integration.wait import wait_until


class RedisServer:
    """One redis-server that keeps nothing when it ends. `options` are lines of its configuration.

    Address and port stay the same over `kill` and `start`.
    """

    def __init__(self, *options: str, sentinel: bool = False, tls: bool = False) -> None:
        self._program = program("redis-server", "redis-server")
        self.home = short_folder("vest-redis")
        self.address = unused_address()
        (self.port,) = free_ports(self.address, 1)
        self._options, self._sentinel, self._tls = list(options), sentinel, tls
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def place(self) -> str:
        return f"{self.address}:{self.port}"

    def option(self, *lines: str) -> None:
        """Add to the configuration, before the start."""
        self._options += lines

    def start(self) -> None:
        """Start, and return when it accepts connections."""
        ports = [f"port {0 if self._tls else self.port}", *([f"tls-port {self.port}"] if self._tls else [])]
        lines = [
            f"bind {self.address}",
            *ports,
            f"dir {self.home}",
            "daemonize no",
            "protected-mode no",
            *self._options,
        ]
        if not self._sentinel:
            announced = [f"{who}-announce-ip {self.address}" for who in ("replica", "cluster")]
            lines += ['save ""', "appendonly no", f"bind-source-addr {self.address}", *announced]
        conf = self.home / "redis.conf"
        conf.write_text("\n".join(lines) + "\n")
        conf.chmod(0o666)
        self._process = start(
            [self._program, str(conf), *(["--sentinel"] if self._sentinel else [])], self.home / "log"
        )
        wait_until(self._is_up, "redis-server")

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        if self._process is not None:
            kill_group(self._process)
            self._process = None

    def pause(self) -> None:
        """Let it hang: the kernel still accepts connections and bytes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        pid = self._process.pid
        wait_until(lambda: all(_state(task) == "T" for task in Path(f"/proc/{pid}/task").iterdir()), "a standstill")

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def cli(self, *arguments: str) -> str:
        """The output of redis-cli."""
        command = [program("redis-cli", "redis-tools"), "-h", self.address, "-p", str(self.port), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None or not group_members(self._process.pid):
            raise RuntimeError(f"redis-server did not start: {(self.home / 'log').read_text()[-2000:]}")
        return accepts(self.address, self.port)


def url(kind: str, servers: Sequence[RedisServer], path: str = "") -> str:
    """The address of these servers."""
    return f"{kind}://{','.join(server.place for server in servers)}{path}"


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
