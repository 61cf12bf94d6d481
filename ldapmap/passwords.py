"""Stored passwords of an LDIF file: `userPassword` values, plain or hashed (RFC 2307 section 5.3, OpenLDAP)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

_SCHEME = re.compile(rb"\{([A-Za-z0-9-]+)\}")
_MOST_ROUNDS = 10_000_000  # several seconds of a core: more is a mistake in the file


class UnusablePassword(ValueError):
    """A stored value we cannot compare with; the text names the scheme, never the value."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A readable `userPassword` value. `slow` ones must not be compared on an event loop."""

    matches: Callable[[bytes], bool]
    slow: bool = False


def read_stored(value: bytes) -> Stored:
    """Read a stored value. Raises UnusablePassword for schemes we do not know and values that break their scheme."""
    match = _SCHEME.match(value)
    if match is None:
        return _plain("", value)
    scheme = match[1].decode().upper()
    reader = _READERS.get(scheme)
    if reader is None:
        raise UnusablePassword(f"the password scheme {{{scheme}}} is not supported")
    return reader(scheme, value[match.end() :])


def _plain(_scheme: str, stored: bytes) -> Stored:
    return Stored(lambda password: hmac.compare_digest(password, stored))


def _digest(scheme: str, stored: bytes) -> Stored:
    """`{SHA...}` is base64 of the digest, `{SSHA...}` of the digest and the salt that followed the password."""
    salted, algorithm = scheme.startswith("SS"), _ALGORITHMS[scheme]
    raw = _base64(scheme, stored)
    size = hashlib.new(algorithm).digest_size
    digest, salt = raw[:size], raw[size:]
    if len(digest) < size or bool(salt) != salted:
        raise _malformed(scheme)
    return Stored(lambda password: hmac.compare_digest(hashlib.new(algorithm, password + salt).digest(), digest))


def _pbkdf2(scheme: str, stored: bytes) -> Stored:
    """`rounds$salt$digest` with base64 that has `.` for `+` and no padding (OpenLDAP's contrib module pw-pbkdf2)."""
    rounds, _, rest = stored.partition(b"$")
    salt64, separator, digest64 = rest.partition(b"$")
    if not rounds.isdigit() or not 0 < int(rounds[:9]) <= _MOST_ROUNDS or not separator:
        raise _malformed(scheme)
    salt, digest = _adapted_base64(scheme, salt64), _adapted_base64(scheme, digest64)
    if not digest:
        raise _malformed(scheme)
    algorithm, count = _ALGORITHMS[scheme], int(rounds)

    def matches(password: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(algorithm, password, salt, count, len(digest)), digest)

    return Stored(matches, slow=True)


def _adapted_base64(scheme: str, text: bytes) -> bytes:
    text = text.replace(b".", b"+").rstrip(b"=")
    return _base64(scheme, text + b"=" * (-len(text) % 4))


def _base64(scheme: str, text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _malformed(scheme) from None


def _malformed(scheme: str) -> UnusablePassword:
    return UnusablePassword(f"a stored password does not have the form of its scheme {{{scheme}}}")


_ALGORITHMS = {
    "SHA": "sha1",
    "SSHA": "sha1",
    "SSHA256": "sha256",
    "SSHA512": "sha512",
    "PBKDF2-SHA256": "sha256",
    "PBKDF2-SHA512": "sha512",
}
_READERS: dict[str, Callable[[str, bytes], Stored]] = {
    "CLEARTEXT": _plain,
    **{scheme: _pbkdf2 if scheme.startswith("PBKDF2") else _digest for scheme in _ALGORITHMS},
}
