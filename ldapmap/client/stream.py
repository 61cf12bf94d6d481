"""A stream of bytes cut into LDAP messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ldapmap.client.ber import SEQUENCE, BerError

T = TypeVar("T")


class Stream(Generic[T]):
    """Cuts a stream into messages; holds at most one unfinished message of at most `limit` bytes.

    `decode` is given the content of each message, behind tag and length, as positions in the bytes received.
    """

    def __init__(self, limit: int, decode: Callable[[bytes, int, int], T]) -> None:
        self._limit = limit
        self._decode = decode
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[T]:
        """Every message that is complete with `data`. Raises BerError; the stream cannot be used after that."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        messages: list[T] = []
        at, end, decode = 0, len(data), self._decode
        while at < end:
            if data[at] == SEQUENCE and at + 1 < end and data[at + 1] < 128:
                start = at + 2
                stop = start + data[at + 1]
            else:
                start, stop = self._bounds(data, at, end)
            if stop > end:
                self._rest += data[at:]
                self._needed = stop - at
                break
            messages.append(decode(data, start, stop))
            at = stop
        return messages

    @property
    def empty(self) -> bool:
        """No part of a message is waiting for its end."""
        return not self._rest

    def _bounds(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        """Start and end of the content of the message at `at`; an end beyond `end` while its head is incomplete."""
        if data[at] != SEQUENCE:
            raise BerError(f"a message begins with {data[at]:#04x}")
        start = at + 2
        if start > end:
            return start, start
        size = data[at + 1]
        if size < 128:
            return start, start + size
        octets = size & 0x7F
        if not 0 < octets <= 4:
            raise BerError("the length of a message is indefinite or too long")
        if start + octets > end:
            return start, start + octets
        size = int.from_bytes(data[start : start + octets], "big")
        if size > self._limit:
            raise BerError(f"a message is longer than {self._limit} bytes")
        return start + octets, start + octets + size
