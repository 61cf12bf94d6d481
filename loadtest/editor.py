"""An administrator who changes entries in the directory while it is measured."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from ldapmap.client.ber import ENUMERATED, INTEGER, element, expect, integer, number, octet_string, wrap
from ldapmap.client.messages import bind_request, unbind_request
from loadtest.responder import take

WINDOW = 200
"""Changes sent ahead of their answers; OpenLDAP closes the connection above 1000 (conn_max_pending_auth)."""

_TIMEOUT = 60.0
_REPLACE = 2


class EditFailed(Exception):
    """The server refused a change; the text has its answer."""


class Editor:
    """A blocking connection over the server's local socket, bound as an identity that may write.

    Raises OSError, and EditFailed when the identity or a change is refused.
    """

    def __init__(self, path: Path, dn: str, password: str) -> None:
        self._unread = b""
        self._last_id = 1
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_TIMEOUT)
        try:
            self._socket.connect(str(path))
            self._socket.sendall(bind_request(1, dn.encode(), password.encode()))
            self._await_success()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Editor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._socket:
            if error is None:
                self._socket.sendall(unbind_request(self._next_id()))

    def replace(self, dn: str, attribute: str, value: str) -> None:
        """Give the attribute this one value, and return when the server has answered."""
        self.replace_all([(dn, attribute, value)])

    def replace_all(self, changes: Iterable[tuple[str, str, str]]) -> None:
        """Many changes (DN, attribute, value), up to `WINDOW` in progress; return after the last answer."""
        outstanding = 0
        for dn, attribute, value in changes:
            if outstanding == WINDOW:
                self._await_success()
                outstanding -= 1
            self._socket.sendall(modify_request(self._next_id(), dn, attribute, value))
            outstanding += 1
        for _ in range(outstanding):
            self._await_success()

    def _await_success(self) -> None:
        while (message := take(self._unread, 0)) is None:
            data = self._socket.recv(65536)
            if not data:
                raise EditFailed("the server closed the connection")
            self._unread += data
        answer, self._unread = self._unread[: message[2]], self._unread[message[2] :]
        if code := result_code(answer):
            raise EditFailed(f"the server answered {code} (RFC 4511 appendix A)")

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def modify_request(message_id: int, dn: str, attribute: str, value: str) -> bytes:
    """Replace all values of an attribute by one (RFC 4511 section 4.6)."""
    values = wrap(b"\x31", octet_string(value.encode()))
    change = integer(_REPLACE, b"\x0a") + wrap(b"\x30", octet_string(attribute.encode()) + values)
    operation = wrap(b"\x66", octet_string(dn.encode()) + wrap(b"\x30", wrap(b"\x30", change)))
    return wrap(b"\x30", integer(message_id) + operation)


def result_code(message: bytes) -> int:
    """The result code of a complete response that is nothing but a result; raises BerError when it is not that."""
    _, at, end = element(message, 0, len(message))
    _, at = expect(message, at, end, INTEGER)
    _, at, end = element(message, at, end)
    start, stop = expect(message, at, end, ENUMERATED)
    return number(message, start, stop)
