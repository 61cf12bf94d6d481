"""What a client asks for in its first TLS record, read without taking part in the handshake (RFC 8446 section 4.1.2).

Python's `ssl` goes on without ALPN when client and server have no protocol in common, so that a browser led astray to
a mail port would be answered (the ALPACA attack). RFC 7301 section 3.2 wants a refusal. The proxy therefore peeks at
the ClientHello and asks `offered_alpn` before it lets OpenSSL see it. Parsing here grants nothing: OpenSSL judges the
same bytes afterwards.
"""

import struct
from typing import Final

_HANDSHAKE_RECORD: Final = 22
_MAJOR_VERSION: Final = 3
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HEADER_BYTES: Final = 5
_LARGEST_FRAGMENT: Final = 2**14
_SESSION_ID_AT: Final = 43
"""Where the session id begins: record header 5, handshake header 4, version 2, random 32."""
_SERVER_NAME_PREFIX: Final = 5
"""Bytes before the name in its extension (RFC 6066 section 3): length of the list 2, kind of name 1, length of the
name 2."""

_record_header: Final = struct.Struct("!BBxH").unpack_from
_message_header: Final = struct.Struct("!BBH").unpack_from
_two_numbers: Final = struct.Struct("!HH").unpack_from


class NotTls(Exception):
    """The peer did not send one complete ClientHello in one TLS record; str() says what was wrong, never what came."""


def client_hello_length(data: bytes) -> int:
    """Return how many bytes the first TLS record has, header included (RFC 8446 section 5.1): 6 to 16,389.

    `data` is the beginning of what the client sent, of which five bytes are read; the minor version means nothing.
    Raises NotTls when these are not the header of a handshake record, or are fewer than five.
    """
    if len(data) < _HEADER_BYTES:
        raise NotTls("too short for a TLS record")
    kind, major, length = _record_header(data)
    if kind != _HANDSHAKE_RECORD or major != _MAJOR_VERSION:
        raise NotTls("not a TLS handshake record")
    if not 0 < length <= _LARGEST_FRAGMENT:
        raise NotTls("impossible TLS record length")
    return _HEADER_BYTES + int(length)


def offered_alpn(data: bytes) -> tuple[bytes, ...]:
    """Return the protocol names a ClientHello offers (RFC 7301 section 3.1), in the client's order; () without ALPN.

    `data` begins with the record; bytes behind it are ignored. Raises NotTls, and nothing else, when the record does
    not hold exactly one ClientHello: too few bytes, another message, one spread over several records, a field that
    ends outside, a server name that is not ASCII (RFC 6066 section 3; `ssl` would print a traceback for it when
    certificates are chosen by name).
    """
    length = client_hello_length(data)
    if len(data) < length:
        raise NotTls("incomplete TLS record")
    try:
        return _alpn(data[:length])
    except (IndexError, struct.error) as error:
        raise NotTls("a field of the ClientHello ends outside of it") from error


def _alpn(record: bytes) -> tuple[bytes, ...]:
    """Walk over the extensions; a read behind the end of the record ends in IndexError or struct.error."""
    end = len(record)
    if _message_header(record, _HEADER_BYTES) != (_CLIENT_HELLO, 0, end - 9):
        raise NotTls("not one unfragmented ClientHello")
    offered: tuple[bytes, ...] = ()
    position = _extensions(record, end)
    while position < end:
        kind, size = _two_numbers(record, position)
        position += 4 + size
        if kind == _ALPN:
            offered = _names(record[position - size : position])
        elif kind == _SERVER_NAME and not record[position - size + _SERVER_NAME_PREFIX : position].isascii():
            raise NotTls("the server name is not ASCII")
    if position != end:
        raise NotTls("the last extension is too long")
    return offered


def _extensions(record: bytes, end: int) -> int:
    """Return where the first extension begins; the end of the record when there is none, which TLS 1.2 allows."""
    position = _SESSION_ID_AT + 1 + record[_SESSION_ID_AT]
    position += 2 + _number_at(record, position)
    position += 1 + record[position]
    if position == end:
        return position
    if position + 2 + _number_at(record, position) != end:
        raise NotTls("the extensions do not end with the ClientHello")
    return position + 2


def _number_at(octets: bytes, position: int) -> int:
    return octets[position] << 8 | octets[position + 1]


def _names(extension: bytes) -> tuple[bytes, ...]:
    """Split the extension's list of names, each with its length in one byte before it (RFC 7301 section 3.1)."""
    if _number_at(extension, 0) != len(extension) - 2:
        raise NotTls("the ALPN list does not fill its extension")
    names, position = [], 2
    while position < len(extension):
        size = extension[position]
        names.append(extension[position + 1 : position + 1 + size])
        position += 1 + size
    if position != len(extension) or not all(names):
        raise NotTls("empty or cut ALPN name")
    return tuple(names)
