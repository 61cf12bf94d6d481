"""The PROXY protocol (HAProxy's proxy-protocol.txt), read in versions 1 and 2, written in version 2.

A header is read exactly: not one byte of the TLS handshake behind it is taken from the socket.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from proxy.protocols.origin import plain
from proxy.protocols.wire import Wire, WireFailure

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

LOCAL = _SIGNATURE + b"\x20\x00\x00\x00"
"""A version 2 header for a connection that is nobody's but our own (section 2.2, LOCAL), such as a health check."""

_V1_SHORTEST = len(b"PROXY UNKNOWN\r\n")
_V1_LONGEST = 107
_FAMILIES = {0x11: ("!4s4sHH", 12), 0x21: ("!16s16sHH", 36)}
#: Transports whose addresses are not of a TCP client: datagrams and unix sockets keep the socket's own.
_OTHER_FAMILIES = frozenset({0x00, 0x12, 0x22, 0x31, 0x32})
_TLV_SSL = 0x20
_CLIENT_SSL = 0x01


class BadHeader(WireFailure):
    """What came is no PROXY header; the connection is closed without a word."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """The addresses a header names, or None for LOCAL, UNKNOWN and UNSPEC, where the socket's own count.

    `tls` says that the sender took the client's connection in TLS (v2 with an SSL TLV).
    """

    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None
    tls: bool = False


async def read_header(wire: Wire, *, longest: int = 4096) -> Proxied:
    """The header that begins the connection; raises `BadHeader` and the wire's failures.

    `longest` bounds the part of a version 2 header whose length its sender chooses.
    """
    start = await wire.exactly(_V1_SHORTEST)
    if start.startswith(_SIGNATURE):
        return await _version_2(wire, start[len(_SIGNATURE) :], longest)
    if start.startswith(b"PROXY "):
        return _version_1(await _line(wire, start))
    raise BadHeader("no PROXY header")


def header(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """A version 2 header for a TCP connection; addresses of different families are both written as IPv6."""
    source, target = ip_address(client[0]), ip_address(server[0])
    if source.version == target.version == 4:
        family, packed = 0x11, source.packed + target.packed
    else:
        family, packed = 0x21, _as_ipv6(source.packed) + _as_ipv6(target.packed)
    addresses = packed + struct.pack("!HH", client[1], server[1])
    return _SIGNATURE + struct.pack("!BBH", 0x21, family, len(addresses)) + addresses


def _as_ipv6(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else b"\0" * 10 + b"\xff\xff" + packed


async def _line(wire: Wire, line: bytes) -> bytes:
    """The rest of a version 1 header; two bytes at a time never run past its CR LF."""
    while not line.endswith(b"\r\n"):
        count = 1 if line.endswith(b"\r") else 2
        if len(line) + count > _V1_LONGEST:
            raise BadHeader("a PROXY header without an end")
        line += await wire.exactly(count)
    return line[:-2]


def _version_1(line: bytes) -> Proxied:
    words = line.decode("ascii", errors="replace").split(" ")
    if words[1] == "UNKNOWN":
        return Proxied()
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadHeader("malformed PROXY header")
    version = int(words[1][3])
    client, server = _address(words[2], words[4], version), _address(words[3], words[5], version)
    return Proxied(client, server)


def _address(host: str, port: str, version: int) -> tuple[str, int]:
    try:
        address = ip_address(host)
    except ValueError:
        raise BadHeader("a PROXY header without an address") from None
    if address.version != version or "%" in host:
        raise BadHeader("a PROXY header with an address of another family")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise BadHeader("a PROXY header without a port")
    return plain(address), int(port)


async def _version_2(wire: Wire, start: bytes, longest: int) -> Proxied:
    command, family, length = struct.unpack("!BBH", start + await wire.exactly(1))
    if command not in (0x20, 0x21) or length > longest:
        raise BadHeader("a PROXY header of another version, or overlong")
    body = await wire.exactly(length)
    if command == 0x20 or family in _OTHER_FAMILIES:
        return Proxied()
    if family not in _FAMILIES:
        raise BadHeader("a PROXY header with an unknown family")
    layout, size = _FAMILIES[family]
    if length < size:
        raise BadHeader("a truncated PROXY header")
    source, target, source_port, target_port = struct.unpack(layout, body[:size])
    client, server = (plain(ip_address(source)), source_port), (plain(ip_address(target)), target_port)
    return Proxied(client, server, _client_tls(body[size:]))


def _client_tls(tlvs: bytes) -> bool:
    """Whether an SSL TLV says that the client came in TLS (section 2.2.5); raises `BadHeader` on a wrong length."""
    found = False
    while tlvs:
        if len(tlvs) < 3 or len(tlvs) < 3 + int.from_bytes(tlvs[1:3], "big"):
            raise BadHeader("a PROXY header with a truncated TLV")
        end = 3 + int.from_bytes(tlvs[1:3], "big")
        if tlvs[0] == _TLV_SSL and end >= 8:
            found = bool(tlvs[3] & _CLIENT_SSL)
        tlvs = tlvs[end:]
    return found
