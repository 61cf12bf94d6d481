"""A directory that costs next to nothing: every name is found, every password is right (LDAP, RFC 4511).

It answers what Vestibule asks, a search by one attribute and a simple bind, with the entry a real server would send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

SUCCESS = b"\x0a\x01\x00\x04\x00\x04\x00"
INVALID_CREDENTIALS = b"\x0a\x01\x31\x04\x00\x04\x00"
"""Results: a code (0 and 49), no matched DN, no message."""

LONGEST = 64 * 1024
"""Bytes of a message, of which the directory's clients need a few hundred."""

_BIND, _UNBIND, _SEARCH, _ABANDON = 0x60, 0x42, 0x63, 0x50


def element(tag: int, content: bytes) -> bytes:
    """One BER element with a definite length of up to 65535 bytes."""
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    return bytes((tag, 0x82, len(content) >> 8, len(content) & 255)) + content


def take(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Tag, begin and end of the element at `position`; None while it is incomplete."""
    if len(data) < position + 2:
        return None
    length, begin = data[position + 1], position + 2
    if length & 0x80:
        count = length & 0x7F
        if len(data) < begin + count:
            return None
        length, begin = int.from_bytes(data[begin : begin + count], "big"), begin + count
    return (data[position], begin, begin + length) if len(data) >= begin + length else None


class Responder(asyncio.Protocol):
    """One connection of the proxy."""

    shard = "s1"

    def __init__(self) -> None:
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (message := take(self._unread, 0)) is not None:
            _, begin, end = message
            body, self._unread = self._unread[begin:end], self._unread[end:]
            self._answer(body)
        if len(self._unread) > LONGEST:
            self._transport.abort()

    def find(self, name: bytes) -> bytes | None:
        """The entry, made by `entry`, of the user that a search asks for; None if there is none."""
        return entry(b"uid=%b,ou=people,dc=example,dc=org" % name, {b"uid": name, b"mailHost": self.shard.encode()})

    def verify(self, dn: bytes, password: bytes) -> bytes:
        """The result of a simple bind."""
        return SUCCESS

    def _answer(self, body: bytes) -> None:
        number = take(body, 0)
        operation = take(body, number[2]) if number else None
        if number is None or operation is None or operation[0] not in (_BIND, _SEARCH):
            if operation is None or operation[0] != _ABANDON:
                self._transport.close()
            return
        content, identifier = body[operation[1] : operation[2]], body[: number[2]]
        if operation[0] == _BIND:
            self._transport.write(element(0x30, identifier + element(0x61, self.verify(*_credentials(content)))))
            return
        found = self.find(_asserted(content))
        done = element(0x30, identifier + element(0x65, SUCCESS))
        self._transport.write(element(0x30, identifier + element(0x64, found)) + done if found else done)


def _asserted(search: bytes) -> bytes:
    """The value of the last equality match in a search's filter."""
    position, filter_element = 0, (0, 0, 0)
    for _ in range(7):  # base, scope, aliases, two limits, types only, filter
        found = take(search, position)
        if found is None:
            return b""
        filter_element, position = found, found[2]
    tag, begin, end = filter_element
    while tag in (0xA0, 0xA1):  # and, or: their last part
        while begin < end:
            found = take(search, begin)
            if found is None:
                return b""
            filter_element, begin = found, found[2]
        tag, begin, end = filter_element
    attribute = take(search, begin)
    value = take(search, attribute[2]) if attribute else None
    return search[value[1] : value[2]] if value else b""


def _credentials(bind: bytes) -> tuple[bytes, bytes]:
    """The name and the password of a simple bind; empty where there are none."""
    version = take(bind, 0)
    name = take(bind, version[2]) if version else None
    password = take(bind, name[2]) if name else None
    if name is None or password is None:
        return b"", b""
    return bind[name[1] : name[2]], bind[password[1] : password[2]]


def entry(dn: bytes, values: Mapping[bytes, bytes]) -> bytes:
    """What a search gives of an entry: its name, and its attributes with one value each."""
    attributes = b"".join(
        element(0x30, element(0x04, name) + element(0x31, element(0x04, value))) for name, value in values.items()
    )
    return element(0x04, dn) + element(0x30, attributes)
