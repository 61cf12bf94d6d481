"""Which user names and passwords may exist at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols.credentials import Attempt, Credentials, judge
from proxy.protocols.failures import Kind
from proxy.protocols.secret import Secret

from .strategies import MANY, kind_of, names, passwords

CONTROLS = [bytes([code]) for code in (*range(32), 127)]


def refused(attempt: Attempt) -> bool:
    """Whether it is refused as bad credentials; it is never refused as anything else."""
    kind = kind_of(lambda: judge(attempt))
    assert kind in (None, Kind.BAD_CREDENTIALS)
    return kind is not None


@MANY
@given(names, passwords, st.one_of(st.just(""), names))
def test_what_is_good_passes_unchanged(user: str, password: bytes, authzid: str) -> None:
    attempt = Attempt("PLAIN", user.encode(), Secret(password), authzid.encode())
    credentials = judge(attempt)
    assert (credentials.mechanism, credentials.user, credentials.authzid) == ("PLAIN", user, authzid)
    assert credentials.secret.reveal() == password


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN", "USER", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"])
def test_no_control_character_passes_anywhere(mechanism: str, control: bytes) -> None:
    bad, secret = b"a%bb" % control, Secret(b"secret")
    assert refused(Attempt(mechanism, bad, secret))
    assert refused(Attempt(mechanism, b"alice", Secret(bad)))
    assert refused(Attempt(mechanism, b"alice", secret, bad))
    assert refused(Attempt(mechanism, b"alice" + control, secret))
    assert refused(Attempt(mechanism, b"alice", Secret(b"secret" + control)))


@pytest.mark.parametrize("password", [b"", b" ", b"   ", b"\0", b"\0\0"])
def test_no_empty_or_blank_password_passes(password: bytes) -> None:
    assert refused(Attempt("PLAIN", b"alice", Secret(password)))


def test_no_empty_user_name_passes() -> None:
    assert refused(Attempt("PLAIN", b"", Secret(b"secret")))
    assert refused(Attempt("XOAUTH2", b"", Secret(b"token")))


@pytest.mark.parametrize(
    "name",
    [b"\xff", b"al\xc3", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\x80"],
)
def test_no_user_name_that_is_not_utf_8_passes(name: bytes) -> None:
    assert refused(Attempt("PLAIN", name, Secret(b"secret")))
    assert refused(Attempt("PLAIN", b"alice", Secret(b"secret"), name))
    assert not refused(Attempt("PLAIN", b"alice", Secret(name)))


def test_a_certificate_needs_neither_name_nor_password() -> None:
    assert judge(Attempt("EXTERNAL", b"", Secret(b""), b"bob")).authzid == "bob"


@pytest.mark.parametrize(("mechanism", "token"), [("XOAUTH2", True), ("OAUTHBEARER", True), ("PLAIN", False)])
def test_tokens_are_told_from_passwords(mechanism: str, token: bool) -> None:
    assert Credentials(mechanism, "alice", Secret(b"x")).is_token is token


@MANY
@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.sampled_from(["PLAIN", "EXTERNAL"]))
def test_any_bytes_are_accepted_or_refused(user: bytes, password: bytes, authzid: bytes, mechanism: str) -> None:
    refused(Attempt(mechanism, user, Secret(password), authzid))
