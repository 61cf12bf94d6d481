"""A mail server that says what a test wrote down for it, on a port of its own, in a thread."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

STARTTLS = "<TLS>"
"""In a script: the handshake happens here."""


@dataclass(slots=True)
class FakeBackend:
    """Plays a script: a line from it is sent, a line that begins with `?` is what the client has to say first."""

    script: Sequence[str]
    context: ssl.SSLContext | None = None
    port: int = 0
    heard: list[bytes] = field(default_factory=list)

    def play(self, connection: socket.socket) -> None:
        """One conversation, to the end of the script or of the client's patience."""
        for step in self.script:
            if step == STARTTLS:
                assert self.context is not None
                connection = self.context.wrap_socket(connection, server_side=True)
            elif step.startswith("?"):
                self._expect(connection, step[1:].encode())
            else:
                connection.sendall(step.encode() + b"\r\n")
        while data := connection.recv(4096):
            self.heard.append(data)

    def _expect(self, connection: socket.socket, wanted: bytes) -> None:
        data = b""
        while not data.startswith(wanted):
            received = connection.recv(4096)
            if not received:
                return
            data += received
        self.heard.append(data)


@contextmanager
def running(backend: FakeBackend) -> Iterator[FakeBackend]:
    """The backend, while it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        backend.port = listening.getsockname()[1]
        thread = threading.Thread(target=_serve, args=(backend, listening), daemon=True)
        thread.start()
        yield backend
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve(backend: FakeBackend, listening: socket.socket) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        try:
            with connection:
                backend.play(connection)
        except OSError:
            continue  # a client that hangs up is what some tests are about
