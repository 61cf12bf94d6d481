"""The PROXY protocol, read and written."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.origin import plain
from proxy.protocols.proxyheader import LOCAL, BadHeader, Proxied, header, read_header
from proxy.protocols.wire import EndOfStream

from .strategies import MANY

BEHIND = b"\x16\x03\x01\x02\x00\x01\x00"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes([192, 0, 2, 1, 203, 0, 113, 7]) + struct.pack("!HH", 40000, 993)
V6 = bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 40000, 993)
CLIENT_V4, SERVER_V4 = ("192.0.2.1", 40000), ("203.0.113.7", 993)
CLIENT_V6, SERVER_V6 = ("::1", 40000), ("::2", 993)


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def tlv(kind: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("!BH", kind, len(value) if length is None else length) + value


def read(data: bytes, size: int = 0, longest: int = 4096) -> tuple[Proxied, bytes]:
    """The header of `data`, which comes `size` bytes at a time, and what is left."""
    step = size or max(len(data), 1)
    wire = MemoryWire([data[at : at + step] for at in range(0, len(data), step)])
    return run(read_header(wire, longest=longest)), wire.rest()


GOOD = {
    "v1 IPv4": (b"PROXY TCP4 192.0.2.1 203.0.113.7 40000 993\r\n", Proxied(CLIENT_V4, SERVER_V4)),
    "v1 IPv6": (b"PROXY TCP6 ::1 ::2 40000 993\r\n", Proxied(CLIENT_V6, SERVER_V6)),
    "v1 IPv4 mapped into IPv6": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::2 40000 993\r\n",
        Proxied(CLIENT_V4, SERVER_V6),
    ),
    "v1 longest": (
        b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
        Proxied(("ffff:" * 7 + "ffff", 65535), ("ffff:" * 7 + "ffff", 65535)),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", Proxied()),
    "v1 UNKNOWN with more": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Proxied()),
    "v1 of the longest allowed": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", Proxied()),
    "v2 IPv4": (v2(0x21, 0x11, V4), Proxied(CLIENT_V4, SERVER_V4)),
    "v2 IPv6": (v2(0x21, 0x21, V6), Proxied(CLIENT_V6, SERVER_V6)),
    "v2 LOCAL": (v2(0x20, 0x00, b""), Proxied()),
    "v2 LOCAL as written by us": (LOCAL, Proxied()),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, V4), Proxied()),
    "v2 UNSPEC": (v2(0x21, 0x00, b""), Proxied()),
    "v2 UNSPEC with more": (v2(0x21, 0x00, b"whatever"), Proxied()),
    "v2 datagrams": (v2(0x21, 0x12, V4), Proxied()),
    "v2 unix": (v2(0x21, 0x31, bytes(216)), Proxied()),
    "v2 TLS": (v2(0x21, 0x11, V4 + tlv(0x20, b"\1\0\0\0\0")), Proxied(CLIENT_V4, SERVER_V4, tls=True)),
    "v2 TLS with more": (
        v2(0x21, 0x21, V6 + tlv(0x01, b"h2") + tlv(0x20, b"\7\0\0\0\0" + tlv(0x21, b"TLSv1.3")) + tlv(0x04, b"")),
        Proxied(CLIENT_V6, SERVER_V6, tls=True),
    ),
    "v2 without TLS": (v2(0x21, 0x11, V4 + tlv(0x20, b"\0\0\0\0\0")), Proxied(CLIENT_V4, SERVER_V4)),
    "v2 with a TLS TLV too short to say so": (v2(0x21, 0x11, V4 + tlv(0x20, b"\1")), Proxied(CLIENT_V4, SERVER_V4)),
}

BAD = {
    "no header": b"a1 LOGIN alice secret\r\n",
    "a ClientHello": BEHIND * 3,
    "lower case": b"proxy TCP4 192.0.2.1 203.0.113.7 40000 993\r\n",
    "v1 without an end": b"PROXY TCP4 " + b"1" * 200,
    "v1 one byte too long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "v1 one byte too long with a carriage return": b"PROXY UNKNOWN \r" + b"x" * 91 + b"\r\n",
    "v1 another family": b"PROXY UDP4 192.0.2.1 203.0.113.7 40000 993\r\n",
    "v1 IPv6 in TCP4": b"PROXY TCP4 ::1 203.0.113.7 40000 993\r\n",
    "v1 IPv4 in TCP6": b"PROXY TCP6 192.0.2.1 ::1 40000 993\r\n",
    "v1 a name": b"PROXY TCP4 imap.example 203.0.113.7 40000 993\r\n",
    "v1 a zone": b"PROXY TCP6 fe80::1%eth0 ::1 40000 993\r\n",
    "v1 octal": b"PROXY TCP4 192.0.2.01 203.0.113.7 40000 993\r\n",
    "v1 a port too high": b"PROXY TCP4 192.0.2.1 203.0.113.7 65536 993\r\n",
    "v1 a port too long": b"PROXY TCP4 192.0.2.1 203.0.113.7 000001 993\r\n",
    "v1 a negative port": b"PROXY TCP4 192.0.2.1 203.0.113.7 -1 993\r\n",
    "v1 no port": b"PROXY TCP4 192.0.2.1 203.0.113.7  993\r\n",
    "v1 digits of another script": "PROXY TCP4 192.0.2.1 203.0.113.7 ٤٠ 993\r\n".encode(),
    "v1 two blanks": b"PROXY TCP4  192.0.2.1 203.0.113.7 40000 993\r\n",
    "v1 too few words": b"PROXY TCP4 192.0.2.1 203.0.113.7 40000\r\n",
    "v1 too many words": b"PROXY TCP4 192.0.2.1 203.0.113.7 40000 993 x\r\n",
    "v1 a line within": b"PROXY X\r\n12345678\r\n",
    "v1 8-bit": b"PROXY TCP4 \xff\xfe 203.0.113.7 40000 993\r\n",
    "v2 version 1": v2(0x11, 0x11, V4),
    "v2 another command": v2(0x22, 0x11, V4),
    "v2 another family": v2(0x21, 0x41, V4),
    "v2 IPv4 too short": v2(0x21, 0x11, V4[:-1]),
    "v2 IPv6 too short": v2(0x21, 0x21, V4),
    "v2 overlong": v2(0x21, 0x11, V4 + tlv(0x04, bytes(5000))),
    "v2 overlong LOCAL": v2(0x20, 0x00, b"", 65535),
    "v2 a TLV of one byte": v2(0x21, 0x11, V4 + b"\x20"),
    "v2 a TLV that runs over": v2(0x21, 0x11, V4 + tlv(0x20, b"\1\0\0\0\0", 6)),
    "v2 a TLV that runs over by its high byte": v2(0x21, 0x11, V4 + tlv(0x04, bytes(10), 256)),
    "v2 a TLV that runs over far": v2(0x21, 0x11, V4 + tlv(0x04, b"x") + tlv(0x20, b"\1", 65535)),
}


@pytest.mark.parametrize("size", [0, 1, 3, 7])
@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_read_and_nothing_behind_it(name: str, size: int) -> None:
    data, expected = GOOD[name]
    assert read(data + BEHIND, size) == (expected, BEHIND)


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str, size: int) -> None:
    with pytest.raises(BadHeader):
        read(BAD[name] + BEHIND, size)


@pytest.mark.parametrize("name", GOOD)
def test_a_header_that_is_cut_off_anywhere_is_no_header(name: str) -> None:
    data, _ = GOOD[name]
    for end in range(len(data)):
        with pytest.raises((EndOfStream, BadHeader)):
            read(data[:end], 1)


def test_a_longest_version_2_header_is_a_setting() -> None:
    data = v2(0x21, 0x11, V4 + tlv(0x04, bytes(85)))
    assert read(data, longest=100)[0].client == CLIENT_V4
    with pytest.raises(BadHeader):
        read(data, longest=99)


def test_no_more_than_the_longest_line_is_taken_from_who_never_ends_it() -> None:
    wire = MemoryWire([b"PROXY TCP4 " + b"\r1" * 60])
    with pytest.raises(BadHeader):
        run(read_header(wire))
    assert len(wire.rest()) >= 131 - 107


addresses = st.ip_addresses()
ports = st.integers(0, 65535)


@MANY
@given(addresses, ports, addresses, ports, st.binary(max_size=30))
@example(ip_address("::ffff:1.2.3.4"), 1, ip_address("::1"), 2, b"")
def test_what_we_write_is_read_as_it_was_meant(
    client: IPv4Address | IPv6Address,
    client_port: int,
    server: IPv4Address | IPv6Address,
    server_port: int,
    behind: bytes,
) -> None:
    data = header((str(client), client_port), (str(server), server_port))
    expected = Proxied((plain(client), client_port), (plain(server), server_port))
    assert read(data + behind) == (expected, behind)


@MANY
@given(st.sampled_from([4, 6]), st.data(), ports, ports, st.binary(max_size=30))
def test_what_haproxy_writes_in_version_1_is_read_as_it_was_meant(
    version: Literal[4, 6], data: st.DataObject, client_port: int, server_port: int, behind: bytes
) -> None:
    client, server = data.draw(st.ip_addresses(v=version)), data.draw(st.ip_addresses(v=version))
    line = f"PROXY TCP{version} {client} {server} {client_port} {server_port}\r\n".encode()
    expected = Proxied((plain(client), client_port), (plain(server), server_port))
    assert read(line + behind, 2) == (expected, behind)


headers = st.one_of(
    st.binary(max_size=150),
    st.binary(max_size=120).map(lambda rest: b"PROXY " + rest),
    st.binary(max_size=120).map(lambda rest: b"PROXY UNKNOWN" + rest),
    st.text("PROXYTCPUNKW46 .:0123456789abcf\r\n", max_size=120).map(lambda rest: b"PROXY TCP" + rest.encode()),
    st.builds(
        v2,
        st.sampled_from([0x20, 0x21, 0x11, 0x2F]),
        st.sampled_from([0x00, 0x11, 0x21, 0x12, 0x31, 0x41]),
        st.one_of(
            st.binary(max_size=60),
            st.binary(max_size=40).map(lambda rest: V4 + rest),
            st.lists(st.builds(tlv, st.integers(0, 255), st.binary(max_size=9))).map(lambda all_: V4 + b"".join(all_)),
        ),
        st.one_of(st.none(), st.integers(0, 80)),
    ),
)


@MANY
@given(headers, st.sampled_from([0, 1, 3]))
def test_any_bytes_are_a_header_or_refused(data: bytes, size: int) -> None:
    try:
        proxied, rest = read(data, size)
    except (BadHeader, EndOfStream):
        return
    assert data.endswith(rest)
    taken = data[: len(data) - len(rest)]
    if taken.startswith(SIGNATURE):
        assert len(taken) == 16 + int.from_bytes(taken[14:16], "big")
    else:
        assert taken.endswith(b"\r\n")
        assert len(taken) <= 107
    assert (proxied.client is None) == (proxied.server is None)
