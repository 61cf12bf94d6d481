"""Bytes that were received and are not understood yet."""

from __future__ import annotations

from proxy.protocols.wire import BareNewline, LineTooLong


class Inbox:
    """A buffer that gives out whole lines and exact counts; it holds at most its callers' limits plus one read."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Append what the peer sent."""
        self._data = self._data + data if self._data else data

    def take_line(self, limit: int) -> bytes | None:
        """The next line without its CR LF, or None while it is incomplete.

        Raises `LineTooLong` when the line, its end not counted, is longer than `limit` bytes, and `BareNewline` (the
        line is consumed) when it ends in LF without CR.
        """
        end = self._data.find(b"\n")
        if end < 0:
            if len(self._data) > limit + 1:
                raise LineTooLong
            return None
        if end > limit + 1:
            raise LineTooLong
        line, self._data = self._data[:end], self._data[end + 1 :]
        if not line.endswith(b"\r"):
            raise BareNewline
        return line[:-1]

    def take(self, count: int) -> bytes | None:
        """Exactly `count` bytes, or None while there are fewer."""
        if len(self._data) < count:
            return None
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def drain(self) -> bytes:
        """Everything that is left; the inbox is empty afterwards."""
        taken, self._data = self._data, b""
        return taken
