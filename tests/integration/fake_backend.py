"""A mail server that is none: it says what a test tells it to, and remembers every byte it hears."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType

from .addresses import unused_address


class FakeBackend:
    """Greets, answers each line by its first match in `answers` (a part of the line -> what to say), and records.

    Lines that match nothing are not answered. `heard` is what all connections together have sent.
    """

    def __init__(self, greeting: bytes, answers: Mapping[bytes, bytes] | None = None) -> None:
        self.address = unused_address()
        self._greeting = greeting
        self._answers = dict(answers or {})
        self.heard = bytearray()

    def __enter__(self) -> FakeBackend:
        self._listening = socket.create_server((self.address, 0))
        self.port: int = self._listening.getsockname()[1]
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listening, *self._accepted):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(10.0)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._accepted.append(connection)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(self._greeting)
            while line := connection.recv(65536):
                self.heard += line
                for part, answer in self._answers.items():
                    if part in line:
                        connection.sendall(answer.replace(b"TAG", line.split()[0]))
                        break
