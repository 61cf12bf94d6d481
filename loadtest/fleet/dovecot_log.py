"""Who is at a Dovecot, by its own log: each login begins a session, the line of its end ends it.

A server that is killed writes no such lines: what it held seems to go on. Times are those of the log, to a second where
its format has no fractions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

MOST = 4 * 1024 * 1024
"""Bytes that one look reads; the rest is for the next one."""

_TIME = rb"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) "
_LOGIN = re.compile(
    _TIME + rb"(?:.*? )??(imap|pop3|managesieve)-login: (?:Info: )?Login: user=<([^>]*)>.* session=<([^>]*)>"
)
_END = re.compile(
    _TIME + rb"(?:.*? )??(?:imap|pop3|managesieve)\([^)]*\)<\d+><([^>]*)>: (?:Info: )?"
    rb"(?:Disconnected|Logged out|Connection closed)"
)


@dataclass(frozen=True, slots=True)
class LoggedPresence:
    """As in `loadtest.fleet.books.Presence`."""

    at: float
    user: str
    backend: str
    protocol: str
    came: bool


class LoginLog:
    """The log of one backend from now on; `offset` is monotonic time minus Unix time."""

    def __init__(self, backend: str, path: Path, offset: float | None = None) -> None:
        """Raises OSError when the file cannot be read."""
        self.backend = backend
        self._path = path
        self._offset = time.monotonic() - time.time() if offset is None else offset
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""
        self._sessions: dict[bytes, tuple[str, str]] = {}

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def read(self) -> Iterator[LoggedPresence]:
        """What was written since the last look; a file that was put in its place is followed."""
        data = self._rest + self._file.read(MOST)
        lines, _, self._rest = data.rpartition(b"\n")
        for line in lines.splitlines():
            if (presence := self._presence(line)) is not None:
                yield presence
        with suppress(OSError):
            self._follow()

    def _follow(self) -> None:
        if self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino:
            self._file.close()
            self._file = self._path.open("rb")

    def _presence(self, line: bytes) -> LoggedPresence | None:
        if login := _LOGIN.match(line):
            user, protocol = login[3].decode(errors="replace"), login[2].decode()
            self._sessions[login[4]] = user, protocol
            return LoggedPresence(self._time(login[1]), user, self.backend, protocol, came=True)
        end = _END.match(line)
        known = self._sessions.pop(end[2], None) if end else None
        return (
            LoggedPresence(self._time(end[1]), known[0], self.backend, known[1], came=False) if end and known else None
        )

    def _time(self, text: bytes) -> float:
        return unix_time(text.decode()) + self._offset


def unix_time(text: str) -> float:
    """Of a log's time, which is local; one without a year is the latest that is not in the future."""
    if text[0].isdigit():
        return datetime.fromisoformat(text).timestamp()
    year = datetime.now().astimezone().year
    for candidate in (year, year - 1):
        with suppress(ValueError):  # February 29th
            then = datetime.strptime(f"{candidate} {text}", "%Y %b %d %H:%M:%S").timestamp()
            if then <= time.time() + 86_400:
                return then
    return 0.0
