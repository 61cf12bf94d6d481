"""Conversations with clients of POP3."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols import sasl
from proxy.protocols.credentials import judge
from proxy.protocols.failures import Kind
from proxy.protocols.limits import Limits
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.pop3.preauth import _COMMANDS, Pop3Preauth
from proxy.protocols.pop3.responses import FAREWELLS, REFUSALS
from proxy.protocols.preauth import Offer, Welcome
from tests.proxy.protocols.strategies import MANY, names, passwords
from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play

CONVERSATIONS = conversations("pop3-client")
STEPS = [step for conversation in CONVERSATIONS for step in conversation.steps]


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_occurs_in_a_conversation(command: bytes) -> None:
    assert any(step.who == "C" and re.match(rb"%b\b" % command, step.data, re.IGNORECASE) for step in STEPS)


@pytest.mark.parametrize("kind", [*REFUSALS, *FAREWELLS])
def test_every_refusal_and_farewell_occurs_in_a_conversation(kind: Kind) -> None:
    orders = {word for step in STEPS if step.who == ">" for word in step.data.decode().split()[1:]}
    assert kind.name in orders


@pytest.mark.parametrize("mechanism", sorted(sasl.MECHANISMS))
def test_every_mechanism_occurs_with_and_without_an_initial_response(mechanism: str) -> None:
    asked = re.compile(rb"AUTH %b( \S+)?\r\n" % mechanism.encode(), re.IGNORECASE)
    forms = [match[1] for step in STEPS if step.who == "C" and (match := asked.fullmatch(step.data))]
    assert None in forms
    assert any(forms)


def logged_in(text: bytes) -> tuple[str, bytes]:
    preauth = Pop3Preauth(MemoryWire([text], secure=True), Offer(Limits()))
    attempt = run(preauth.attempt())
    assert attempt is not None
    credentials = judge(attempt)
    assert credentials.authzid == ""
    return credentials.user, credentials.secret.reveal()


@MANY
@given(names, passwords)
def test_a_name_and_a_password_come_unchanged_through_user_and_pass(user: str, password: bytes) -> None:
    assert logged_in(b"USER %b\r\nPASS %b\r\n" % (user.encode(), password)) == (user, password)


@MANY
@given(names, passwords, st.booleans())
def test_a_name_and_a_password_come_unchanged_through_every_mechanism(
    user: str, password: bytes, initial: bool
) -> None:
    glue = b" " if initial else b"\r\n"
    plain = sasl.encode(b"\0%b\0%b" % (user.encode(), password))
    assert logged_in(b"AUTH PLAIN%b%b\r\n" % (glue, plain)) == (user, password)
    name, secret = sasl.encode(user.encode()), sasl.encode(password)
    assert logged_in(b"AUTH LOGIN%b%b\r\n%b\r\n" % (glue, name, secret)) == (user, password)


def test_what_a_backend_can_do_is_none_of_the_ok() -> None:
    preauth = Pop3Preauth(MemoryWire([]), Offer(Limits()))
    assert preauth.accept(Welcome(code="X", known="Y")) == b"+OK Logged in.\r\n"
