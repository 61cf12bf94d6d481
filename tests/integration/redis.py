"""Real Redis servers for tests: each on an address and in a folder of its own, gone when the block ends."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from .addresses import accepts, free_ports, unused_address
from .processes import group_members, kill_group, program, short_folder, start
from .wait import wait_until

_SERVICE = "main"


class RedisServer:
    """One redis-server that keeps nothing when it ends. `options` are lines of its configuration.

    Address and port stay the same over `kill` and `start`.
    """

    def __init__(self, *options: str, sentinel: bool = False, tls: bool = False, address: str = "") -> None:
        self._program = program("redis-server", "redis-server")
        self.home = short_folder("vest-redis")
        self.address = address or unused_address()
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
        """Its address and port."""
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
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def cli(self, *arguments: str) -> str:
        """The output of redis-cli."""
        command = [program("redis-cli", "redis-tools"), "-h", self.address, "-p", str(self.port), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    def plays(self, role: str) -> bool:
        """Whether it is "master" or "slave"; while it changes, it closes connections."""
        with suppress(subprocess.CalledProcessError):
            return f"role:{role}" in self.cli("INFO", "replication")
        return False

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None or not group_members(self._process.pid):
            raise RuntimeError(f"redis-server did not start: {(self.home / 'log').read_text()[-2000:]}")
        return accepts(self.address, self.port)

    @property
    def url(self) -> str:
        """The address of this server, as a store."""
        return url("rediss" if self._tls else "redis", [self])


class Sentinels:
    """A master, its replica, and Sentinels that watch them: when half a second of silence has convinced two of three
    (or the only one), the replica takes the master's place. Who was master comes back as replica.

    Redis confirms what its replica does not have yet: what was written in the last moments may be lost with a master.
    """

    def __init__(self, count: int = 3, *, address: str = "") -> None:
        self._count, self._address = count, address

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.master = stack.enter_context(RedisServer(address=self._address))
            follow = f"replicaof {self.master.address} {self.master.port}"
            self.replica = stack.enter_context(RedisServer(follow, address=self._address))
            wait_until(lambda: "master_link_status:up" in self.replica.cli("INFO", "replication"), "replication")
            self.sentinels = [stack.enter_context(self._sentinel()) for _ in range(self._count)]
            for sentinel in self.sentinels:
                sentinel.cli("SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "200")
            wait_until(self._is_watched, "the Sentinels to find all others")
            self._servers = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._servers.close()

    @property
    def url(self) -> str:
        """The address of these servers, as a store."""
        return url("redis+sentinel", self.sentinels, f"/{_SERVICE}")

    def wait_for_failover(self) -> None:
        """Return when the replica is master."""
        wait_until(lambda: self.replica.plays("master"), "a failover")

    def _sentinel(self) -> RedisServer:
        watch = (
            f"sentinel monitor {_SERVICE} {self.master.address} {self.master.port} {self._count // 2 + 1}",
            f"sentinel down-after-milliseconds {_SERVICE} 500",
            f"sentinel failover-timeout {_SERVICE} 2000",
        )
        sentinel = RedisServer(*watch, sentinel=True, address=self._address)
        sentinel.option(f"sentinel announce-ip {sentinel.address}")
        return sentinel

    def _is_watched(self) -> bool:
        return all(
            "flags\nslave\n" in sentinel.cli("SENTINEL", "REPLICAS", _SERVICE)
            and sentinel.cli("SENTINEL", "SENTINELS", _SERVICE).count("flags\nsentinel\n") == self._count - 1
            for sentinel in self.sentinels
        )


def url(kind: str, servers: Sequence[RedisServer], path: str = "") -> str:
    """The address of these servers."""
    return f"{kind}://{','.join(server.place for server in servers)}{path}"


def _state(task: Path) -> str:
    return (task / "stat").read_text().rpartition(")")[2].split()[0]
