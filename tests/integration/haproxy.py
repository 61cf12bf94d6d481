"""A real HAProxy in front of something: a TCP load balancer that tells the client's address in a PROXY header."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from types import TracebackType
from typing import Literal

from .addresses import accepts, free_ports, unused_address
from .processes import give_away, program, short_folder, start, stop_group
from .wait import wait_until

_CONF = """\
global
    maxconn 500
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""

_LISTEN = """\
listen {name}
    bind {address}:{port}
    server target {host}:{target} {header}
"""


class HAProxy:
    """Forwards the port `ports[name]` of `address` to `targets[name]`, a pair of host and port.

    `header` is what it sends first: "send-proxy" (version 1), "send-proxy-v2", or "" for nothing.
    """

    def __init__(
        self,
        targets: Mapping[str, tuple[str, int]],
        header: Literal["send-proxy", "send-proxy-v2", ""] = "send-proxy-v2",
    ) -> None:
        self.address = unused_address()
        self.ports = dict(zip(targets, free_ports(self.address, len(targets)), strict=True))
        self._targets = targets
        self._header = header

    def __enter__(self) -> HAProxy:
        haproxy = program("haproxy", "haproxy")
        self.home = short_folder("vest-haproxy")
        conf = self.home / "conf"
        conf.write_text(_CONF + "".join(self._listen(name) for name in self.ports))
        give_away(conf)
        self._process = start([haproxy, "-db", "-f", str(conf)], self.home / "log")
        try:
            wait_until(self._ready, "HAProxy to accept")
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()

    def log(self) -> str:
        """Everything it has printed."""
        return (self.home / "log").read_text(errors="replace")

    def _listen(self, name: str) -> str:
        host, target = self._targets[name]
        return _LISTEN.format(
            name=name, address=self.address, port=self.ports[name], host=host, target=target, header=self._header
        )

    def _clean(self) -> None:
        stop_group(self._process)
        shutil.rmtree(self.home, ignore_errors=True)

    def _ready(self) -> bool:
        assert self._process.poll() is None, f"HAProxy did not start: {self.log()}"
        return all(accepts(self.address, port) for port in self.ports.values())
