"""The log: one line for each session when it ends, and the daemon's own messages, both as JSON or as logfmt.

A record is always one line of ASCII. Text that came from a stranger is encoded, never pasted: newlines, escapes and
quotes arrive as `\\n`, `\\u001b` and `\\"`. Session lines are encoded once, collected, and written together.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import select
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from proxy.settings import LogSettings

Value = str | int | float | bool | None
Fields = Mapping[str, Value]
Encode = Callable[[Fields], bytes]

ATOMIC = 4096
"""Bytes a pipe takes in one piece (PIPE_BUF): workers that share one never split each other's lines."""

_BARE = re.compile(r"[A-Za-z0-9_.,:;/@+*<>()\[\]-]+")
_to_json = msgspec.json.Encoder().encode
"""Quick, but it has DEL and other text than ASCII as they are, and null for an infinite number."""
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY


def json_line(fields: Fields) -> bytes:
    """One line of JSON (RFC 8259); fields that are None are left out."""
    present = {key: value for key, value in fields.items() if value is not None}
    try:
        line = _to_json(present)
    except (ValueError, OverflowError):  # a lone surrogate, a number beyond 64 bits
        return _ascii_line(present)
    plain = line.isascii() and b":null" not in line and b"\x7f" not in line
    return line + b"\n" if plain else _ascii_line(present)


def _ascii_line(present: Fields) -> bytes:
    try:
        return _JSON.encode(present).encode() + b"\n"
    except ValueError:  # an infinite number, which JSON does not have
        return _JSON.encode({key: _finite(value) for key, value in present.items()}).encode() + b"\n"


def logfmt_line(fields: Fields) -> bytes:
    """One line of `key=value`; what is not a plain word is a JSON string; fields that are None are left out."""
    return " ".join(f"{key}={_word(value)}" for key, value in fields.items() if value is not None).encode() + b"\n"


def _finite(value: Value) -> Value:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _word(value: Value) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else _JSON.encode(value)
    return _JSON.encode(_finite(value)).strip('"')


ENCODERS: Mapping[str, Encode] = {"json": json_line, "logfmt": logfmt_line}


class Clock:
    """Writes the wall clock's time as `2026-11-21T09:30:00.125Z`, and the part before the point once a second."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def stamp(self, now: float) -> str:
        """`now` in seconds since 1970."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{int((now - second) * 1000):03d}Z"


class Sink:
    """The descriptor a process writes its log to: a file that can be opened again, or standard error."""

    def __init__(self, file: Path | None, descriptor: int = 2) -> None:
        self._file = file
        self.descriptor = descriptor if file is None else os.open(file, _OPEN_FLAGS, 0o640)
        self._learn()

    def reopen(self) -> None:
        """Opens the file again after it was rotated; raises OSError, and keeps the old one, when it cannot."""
        if self._file is None:
            return
        replacement = os.open(self._file, _OPEN_FLAGS, 0o640)
        os.close(self.descriptor)
        self.descriptor = replacement
        self._learn()

    def close(self) -> None:
        """Closes a file that was opened here."""
        if self._file is not None:
            os.close(self.descriptor)

    def write(self, data: bytes) -> int:
        """Writes whole lines, without waiting; the number of bytes taken, 0 when nothing can be written now."""
        if self._takes_all:
            return self._try(data)
        done = 0
        while done < len(data) and self._ready():
            piece = _whole_lines(data, done)
            taken = self._try(piece)
            done += taken
            if taken < len(piece):
                break
        return done

    def _learn(self) -> None:
        self._takes_all = stat.S_ISREG(os.fstat(self.descriptor).st_mode)

    def _ready(self) -> bool:
        """Whether a pipe or socket takes a piece now: asked, since the descriptor may block and is not ours alone."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(0))

    def _try(self, data: bytes) -> int:
        try:
            return os.write(self.descriptor, data)
        except OSError:
            return 0  # full disk, reader gone, not ready: the lines stay in their bounded buffer


def _whole_lines(data: bytes, start: int) -> bytes:
    """As many whole lines from `start` as go in one piece, and at least one."""
    end = data.rfind(b"\n", start, start + ATOMIC) + 1
    return data[start : end or data.index(b"\n", start) + 1]


class SessionLog:
    """The session lines of one worker, held back until `flush` and bounded while they cannot be written."""

    def __init__(self, sink: Sink, encode: Encode, limit: int) -> None:
        self._sink = sink
        self._encode = encode
        self._limit = limit
        self._clock = Clock()
        self._lines: list[bytes] = []
        self._size = 0
        self._unreported = 0
        self.dropped = 0
        """Lines lost since the start because the log could not be written."""

    def record(self, fields: Fields, now: float) -> None:
        """Adds one session's line; `now` is the wall clock's time. Does no I/O."""
        line = self._encode({"time": self._clock.stamp(now), **fields})
        if self._size + len(line) > self._limit:
            self.dropped += 1
            self._unreported += 1
            return
        self._lines.append(line)
        self._size += len(line)

    def flush(self, now: float) -> None:
        """Writes what is held back, without waiting, and then tells how many lines were lost before, if any."""
        if not self._lines:
            return
        data = b"".join(self._lines)
        rest = data[self._sink.write(data) :]
        self._lines = [rest] if rest else []
        self._size = len(rest)
        if not rest and self._unreported:
            lost, self._unreported = self._unreported, 0
            self.record({"event": "lines_dropped", "lines": lost}, now)
            self.flush(now)

    def reopen(self) -> None:
        """Opens the log file again after it was rotated."""
        self._sink.reopen()


class _LineFormatter(logging.Formatter):
    """A message, and its traceback if there is one, as one record."""

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode
        self._clock = Clock()

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self._clock.stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return self._encode(fields).decode()


class _SinkHandler(logging.Handler):
    """Hands each message to the sink at once."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record).encode())
        except Exception:
            self.handleError(record)


def open_sink(settings: LogSettings) -> Sink:
    """The log as configured; raises OSError when the file cannot be opened."""
    return Sink(settings.file)


def open_session_log(settings: LogSettings, sink: Sink) -> SessionLog:
    """A worker's session log on the process's sink."""
    return SessionLog(sink, ENCODERS[settings.format], settings.buffer)


def set_up_messages(settings: LogSettings, sink: Sink) -> None:
    """Sends the messages of all modules (stdlib logging) to the sink, in the same format as session lines."""
    handler = _SinkHandler(sink)
    handler.setFormatter(_LineFormatter(ENCODERS[settings.format]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
