"""The part of the Basic Encoding Rules (X.690) that LDAP uses: definite lengths, one-octet tags (RFC 4511 section 5.1).

Decoding works on offsets into one `bytes` object, checks every length against the enclosing element and never recurses:
how deep it goes is decided by the caller's code, not by the input. Any input ends in values or in BerError.
"""

from __future__ import annotations

INTEGER, OCTET_STRING, ENUMERATED, SEQUENCE, SET = 0x02, 0x04, 0x0A, 0x30, 0x31

_LENGTH_OCTETS = 4  # a length needs no more: messages have a limit far below 4 GiB
_INTEGER_OCTETS = 4  # LDAP's maxInt is 2^31 - 1 (RFC 4511 section 4.1.1)


class BerError(Exception):
    """The bytes are not what the encoding rules or the caller's grammar allow."""


def encode_length(size: int) -> bytes:
    """The length octets of content of this size, in their shortest form."""
    if size < 128:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


class _Lengths(dict[int, bytes]):
    """Those that are not ready made are made when they are asked for, and not kept."""

    def __missing__(self, size: int) -> bytes:
        return encode_length(size)


LENGTHS = _Lengths((size, encode_length(size)) for size in range(2048))
"""The length octets of content of any size; of everything we usually send they are ready made."""


def wrap(tag: bytes, content: bytes) -> bytes:
    """An element: tag, length, content."""
    return tag + LENGTHS[len(content)] + content


def octet_string(content: bytes) -> bytes:
    return wrap(b"\x04", content)


def integer(value: int, tag: bytes = b"\x02") -> bytes:
    """A number that is not negative, in its shortest form."""
    size = value.bit_length() // 8 + 1
    return tag + LENGTHS[size] + value.to_bytes(size, "big")


def element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag, start and end of the content of the element at `at`, which has to end at or before `end`."""
    if end - at < 2:
        raise BerError("an element ends before its length")
    tag, size = data[at], data[at + 1]
    at += 2
    if size > 127:
        octets = size & 0x7F
        if not 0 < octets <= _LENGTH_OCTETS or at + octets > end:
            raise BerError("a length is indefinite, too long or cut off")
        size = int.from_bytes(data[at : at + octets], "big")
        at += octets
    if tag & 0x1F == 0x1F:
        raise BerError("a tag of several octets")
    if at + size > end:
        raise BerError("an element is longer than what encloses it")
    return tag, at, at + size


def expect(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Start and end of the content of the element at `at`, which has to have this tag."""
    start = at + 2
    if start <= end and data[at] == tag:
        stop = start + data[at + 1]
        if stop <= end and stop - start < 128:
            return start, stop  # a short element, as nearly all are
    found, start, stop = element(data, at, end)
    if found != tag:
        raise BerError(f"tag {found:#04x} where {tag:#04x} belongs")
    return start, stop


def number(data: bytes, start: int, end: int) -> int:
    """The value of an INTEGER's or ENUMERATED's content."""
    if not 0 < end - start <= _INTEGER_OCTETS:
        raise BerError("a number is empty or too large")
    return int.from_bytes(data[start:end], "big", signed=True)


def text(data: bytes, start: int, end: int) -> str:
    """Content that has to be UTF-8."""
    try:
        return data[start:end].decode()
    except UnicodeDecodeError:
        raise BerError("text is not UTF-8") from None
