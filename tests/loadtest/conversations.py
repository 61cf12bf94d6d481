"""Playing a transcript against a simulated server."""

from __future__ import annotations

import contextlib

from loadtest.backends import Server
from loadtest.host import Host
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.wire import EndOfStream

TLS = "-- TLS --"
"""The line at which the client begins TLS."""


class TellingMemoryWire(MemoryWire):
    """A memory wire on which a server can speak up."""

    behind = False

    def tell(self, data: bytes) -> None:
        self.sent.append(data)


def play(server: type[Server], host: Host, *lines: str, secure: bool = False) -> list[str]:
    """What the server says, as lines, to a client that sends `lines` and closes."""
    wire = TellingMemoryWire([None if line == TLS else f"{line}\r\n".encode() for line in lines], secure=secure)
    with contextlib.suppress(EndOfStream):
        run(server(wire, host).serve())
    return b"".join(wire.sent).decode().split("\r\n")[:-1]
