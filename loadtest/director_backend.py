"""A simulated backend in a process of its own that can fail in the ways of real ones: it dies, or it falls silent.

It speaks as much IMAP as a client needs to log in, to ask where it is (ID), and to wait (IDLE), and costs very little.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

import uvloop

from loadtest.target import Target

BACKLOG = 1024
"""Connections the kernel queues for a backend, unless it is told otherwise."""

PATIENCE = 30.0
"""Seconds a process has to start, and to end."""

_READY = b"ready\n"


class Talker(Target):
    """One connection of the proxy, with a backend of this name."""

    name = ""

    def _answer(self, line: bytes) -> None:
        tag, _, command = line.partition(b" ")
        if command == b"IDLE":
            self._transport.write(b"+ idling\r\n")
        elif command == b"ID NIL":
            self._transport.write(b'* ID ("name" "%b")\r\n%b OK done\r\n' % (self.name.encode(), tag))
        else:
            super()._answer(line)


class BackendProcess:
    """One backend at `host` and `port`, alive inside `with`; afterwards nothing is left of it.

    A small `backlog` is what `clog` needs. Everything here blocks, for milliseconds but when a process starts.
    """

    def __init__(self, name: str, *, backlog: int = BACKLOG) -> None:
        self.name = name
        self.host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(1, 254)}"
        self.port = free_port(self.host)
        self._backlog = backlog
        self._process: subprocess.Popen[bytes] | None = None
        self._crowd: list[socket.socket] = []

    def __enter__(self) -> Self:
        self.begin()
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None  # noqa: S101 (a mistake in our own code)
        return self._process.pid

    def begin(self) -> None:
        """Start it (again), at the same place."""
        place = [self.name, self.host, str(self.port), str(self._backlog)]
        command = [sys.executable, "-m", "loadtest.director_backend", *place]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def wait(self) -> None:
        """Return when it listens. Raises OSError if it does not."""
        assert self._process is not None  # noqa: S101 (a mistake in our own code)
        assert self._process.stdout is not None  # noqa: S101
        if self._process.stdout.readline() != _READY:
            raise OSError(f"the backend {self.name} did not start")

    def kill(self) -> None:
        """End it as a crash would: its sessions are reset, and connections are refused."""
        self._leave()
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def freeze(self) -> None:
        """Let it fall silent: the kernel accepts connections for it, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def clog(self) -> None:
        """The same, and its queue is full: whoever connects from now on waits for an answer."""
        self.freeze()
        for _ in range(2 * self._backlog + 2):
            sock = socket.socket()
            sock.setblocking(False)
            with suppress(BlockingIOError):
                sock.connect((self.host, self.port))
            self._crowd.append(sock)

    def thaw(self) -> None:
        """Let it go on."""
        self._leave()
        self._signal(signal.SIGCONT)

    def _leave(self) -> None:
        for sock in self._crowd:
            sock.close()
        self._crowd.clear()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None  # noqa: S101 (a mistake in our own code)
        self._process.send_signal(number)


def free_port(host: str) -> int:
    """A port of this address that nobody uses now."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def _serve(name: str, host: str, port: int, backlog: int) -> None:
    talker = type("Talker", (Talker,), {"name": name})
    server = await asyncio.get_running_loop().create_server(talker, host, port, backlog=backlog)
    sys.stdout.buffer.write(_READY)
    sys.stdout.flush()
    await server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """Be a backend until the process is killed."""
    parser = argparse.ArgumentParser(prog="loadtest.director_backend", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("backlog", type=int)
    options = parser.parse_args(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options.name, options.host, options.port, options.backlog))
    return 0


if __name__ == "__main__":
    sys.exit(main())
