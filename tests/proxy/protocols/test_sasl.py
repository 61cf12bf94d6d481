"""SASL mechanisms, as server and as client."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt, judge
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.memory import run
from proxy.protocols.secret import Secret

from .strategies import MANY, kind_of, names, passwords, tokens


class Client:
    """Answers each challenge with the next message and remembers what it was asked."""

    def __init__(self, *messages: bytes) -> None:
        self._messages = list(messages)
        self.asked: list[bytes] = []

    async def ask(self, challenge: bytes) -> bytes:
        self.asked.append(challenge)
        return self._messages.pop(0)


def attempt(mechanism: str, *messages: bytes, initial: bytes | None = None) -> tuple[Attempt, list[bytes]]:
    client = Client(*messages)
    return run(sasl.MECHANISMS[mechanism](client.ask, initial)), client.asked  # type: ignore[arg-type]


def fields(attempt: Attempt) -> tuple[str, bytes, bytes, bytes]:
    return attempt.mechanism, attempt.user, attempt.secret.reveal(), attempt.authzid


MESSAGES: Mapping[str, tuple[bytes, tuple[str, bytes, bytes, bytes]]] = {
    "PLAIN": (b"bob\0alice\0secret", ("PLAIN", b"alice", b"secret", b"bob")),
    "XOAUTH2": (b"user=alice\1auth=Bearer tok\1\1", ("XOAUTH2", b"alice", b"tok", b"")),
    "OAUTHBEARER": (b"n,a=al=2Cice,\1port=1\1auth=bearer tok\1\1", ("OAUTHBEARER", b"al,ice", b"tok", b"")),
    "EXTERNAL": (b"bob", ("EXTERNAL", b"", b"", b"bob")),
}


@pytest.mark.parametrize("mechanism", MESSAGES)
def test_a_message_is_the_same_as_an_initial_response_and_as_an_answer(mechanism: str) -> None:
    message, expected = MESSAGES[mechanism]
    found, asked = attempt(mechanism, initial=message)
    assert (fields(found), asked) == (expected, [])
    found, asked = attempt(mechanism, message)
    assert (fields(found), asked) == (expected, [b""])


def test_login_asks_for_what_it_does_not_have() -> None:
    found, asked = attempt("LOGIN", b"alice", b"secret")
    assert (fields(found), asked) == (("LOGIN", b"alice", b"secret", b""), [b"Username:", b"Password:"])
    found, asked = attempt("LOGIN", b"secret", initial=b"alice")
    assert (fields(found), asked) == (("LOGIN", b"alice", b"secret", b""), [b"Password:"])


def test_every_mechanism_is_tested_here() -> None:
    assert set(sasl.MECHANISMS) == {*MESSAGES, "LOGIN"}
    assert set(sasl.MECHANISMS) == {*sasl.PLAINTEXT, "EXTERNAL"}


def test_to_act_as_oneself_is_no_authzid() -> None:
    assert attempt("PLAIN", initial=b"alice\0alice\0secret")[0].authzid == b""


@pytest.mark.parametrize(
    ("mechanism", "message"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"alice"),
        ("PLAIN", b"\0alice"),
        ("PLAIN", b"\0alice\0sec\0ret"),
        ("PLAIN", b"\0alice\0secret\0"),
        ("XOAUTH2", b""),
        ("XOAUTH2", b"user=alice\1auth=Basic tok\1\1"),
        ("XOAUTH2", b"user=alice\1auth=Bearer \1\1"),
        ("XOAUTH2", b"user=alice\1auth=Bearer\1\1"),
        ("OAUTHBEARER", b""),
        ("OAUTHBEARER", b"n,,\1auth=Bearer tok\1\1"),
        ("OAUTHBEARER", b"p=tls-unique,a=alice,\1auth=Bearer tok\1\1"),
        ("OAUTHBEARER", b"n,a=alice,\1\1"),
        ("OAUTHBEARER", b"n,b=alice,\1auth=Bearer tok\1\1"),
    ],
)
def test_a_malformed_message_is_a_failed_authentication(mechanism: str, message: bytes) -> None:
    with pytest.raises(Failure) as failure:
        attempt(mechanism, initial=message)
    assert failure.value.kind is Kind.BAD_CREDENTIALS


@MANY
@given(st.sampled_from(sorted(set(sasl.MECHANISMS) - {"LOGIN"})), st.binary(max_size=60))
def test_any_message_is_an_attempt_or_a_failed_authentication(mechanism: str, message: bytes) -> None:
    assert kind_of(lambda: attempt(mechanism, initial=message)) in (None, Kind.BAD_CREDENTIALS)


@MANY
@given(st.binary(max_size=200))
def test_base64_is_read_as_it_was_written(data: bytes) -> None:
    encoded = sasl.encode(data)
    assert b"\n" not in encoded
    assert sasl.decode(encoded) == data


@pytest.mark.parametrize(
    "data",
    [
        b"A",
        b"AA",
        b"AAA",
        b"=",
        b"====",
        b"AAAA=",
        b"AAAA====",
        b"AA==AAAA",
        b"AA A",
        b"AAA\n",
        b"AAA\0",
        b"AA-_",
        b"\xff",
    ],
)
def test_what_is_no_base64_is_refused(data: bytes) -> None:
    with pytest.raises(Failure) as failure:
        sasl.decode(data)
    assert failure.value.kind is Kind.INVALID_BASE64


@MANY
@given(st.binary(max_size=30))
def test_any_bytes_are_base64_or_refused(data: bytes) -> None:
    assert kind_of(lambda: sasl.decode(data)) in (None, Kind.INVALID_BASE64)


@MANY
@given(names, passwords, st.one_of(st.just(""), names))
def test_our_plain_message_is_read_as_it_was_meant(user: str, password: bytes, authzid: str) -> None:
    message = sasl.plain_message(authzid, user, Secret(password))
    credentials = judge(attempt("PLAIN", initial=message)[0])
    assert (credentials.user, credentials.secret.reveal()) == (user, password)
    assert credentials.authzid == ("" if authzid == user else authzid)


@MANY
@given(st.sampled_from(["XOAUTH2", "OAUTHBEARER"]), names, tokens)
def test_our_token_message_is_read_as_it_was_meant(mechanism: str, user: str, token: bytes) -> None:
    message = sasl.token_message(mechanism, user, Secret(token))
    credentials = judge(attempt(mechanism, initial=message)[0])
    assert (credentials.mechanism, credentials.user, credentials.secret.reveal()) == (mechanism, user, token)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "NTLM", "OTP", "ANONYMOUS"])
def test_mechanisms_that_cannot_be_done_behind_ldap_do_not_exist(mechanism: str) -> None:
    assert mechanism not in sasl.MECHANISMS
