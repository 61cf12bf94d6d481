"""Stored passwords, some of them written by OpenLDAP's own tools."""

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldapmap.passwords import UnusablePassword, read_stored


def ab64(raw: bytes) -> bytes:
    return base64.b64encode(raw).replace(b"+", b".").rstrip(b"=")


def pbkdf2(algorithm: str, password: bytes, rounds: int = 50) -> bytes:
    size = 64 if algorithm == "sha512" else 32
    digest = hashlib.pbkdf2_hmac(algorithm, password, b"\xfb\xff salt", rounds, size)
    return b"{PBKDF2-%s}%d$%s$%s" % (algorithm.upper().encode(), rounds, ab64(b"\xfb\xff salt"), ab64(digest))


def salted(scheme: bytes, algorithm: str, password: bytes) -> bytes:
    return b"{%s}" % scheme + base64.b64encode(hashlib.new(algorithm, password + b"salt").digest() + b"salt")


SHA1 = "sha1"
SECRET = b"se\xc3\xa9cret"
STORED = [
    SECRET,
    b"{CLEARTEXT}" + SECRET,
    b"{sha}" + base64.b64encode(hashlib.new(SHA1, SECRET).digest()),
    salted(b"SSHA", SHA1, SECRET),
    salted(b"ssha256", "sha256", SECRET),
    salted(b"SSHA512", "sha512", SECRET),
    pbkdf2("sha256", SECRET),
    pbkdf2("sha512", SECRET),
]


@pytest.mark.parametrize("value", STORED)
def test_a_stored_password_accepts_itself_and_nothing_else(value: bytes) -> None:
    stored = read_stored(value)
    assert stored.matches(SECRET)
    for wrong in (b"", b"secret", SECRET + b"x", SECRET[:-1], value):
        assert stored.matches(wrong) is (wrong == SECRET)


def test_what_slappasswd_writes_is_accepted() -> None:
    assert read_stored(b"{SSHA}Ck5NI5e+L5qVkWV3vk3eCrGXLqYcl8bT").matches(b"x") is False
    assert read_stored(b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=").matches(b"secret")


def test_only_slow_schemes_are_to_be_compared_elsewhere() -> None:
    assert [read_stored(value).slow for value in STORED] == [False] * 6 + [True] * 2


def test_a_plain_value_may_begin_with_a_brace() -> None:
    assert read_stored(b"{not a scheme").matches(b"{not a scheme")


@pytest.mark.parametrize("value", [b"{CRYPT}$6$x$y", b"{ARGON2}x", b"{MD5}x", b"{SHA256}x"])
def test_an_unknown_scheme_is_named_and_never_compared(value: bytes) -> None:
    with pytest.raises(UnusablePassword, match=r"\{[A-Z0-9]+\} is not supported"):
        read_stored(value)


@pytest.mark.parametrize(
    "value",
    [
        b"{SHA}?",
        b"{SHA}",
        b"{SHA}" + base64.b64encode(b"short"),
        b"{SHA}" + base64.b64encode(b"x" * 21),
        b"{SSHA}" + base64.b64encode(b"x" * 20),
        b"{SSHA512}" + base64.b64encode(b"x" * 20 + b"salt"),
        b"{PBKDF2-SHA256}",
        b"{PBKDF2-SHA256}x$c2FsdA$eA",
        b"{PBKDF2-SHA256}0$c2FsdA$eA",
        b"{PBKDF2-SHA256}99999999$c2FsdA$eA",
        b"{PBKDF2-SHA256}" + b"9" * 5000 + b"$c2FsdA$eA",
        b"{PBKDF2-SHA256}10$c2FsdA",
        b"{PBKDF2-SHA256}10$c2FsdA$",
        b"{PBKDF2-SHA256}10$?$eA",
        b"{PBKDF2-SHA256}10$c2FsdA$A",
    ],
)
def test_a_value_that_breaks_its_scheme_is_refused_and_not_repeated(value: bytes) -> None:
    with pytest.raises(UnusablePassword, match="does not have the form of its scheme") as fault:
        read_stored(value)
    assert "c2FsdA" not in str(fault.value)


@given(st.binary(max_size=60))
def test_any_value_is_read_or_refused(value: bytes) -> None:
    for scheme in (b"", b"{SSHA}", b"{SHA}", b"{PBKDF2-SHA512}"):
        with contextlib.suppress(UnusablePassword):
            read_stored(scheme + value)
