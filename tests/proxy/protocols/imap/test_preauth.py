"""Conversations with clients of IMAP."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols import sasl
from proxy.protocols.credentials import judge
from proxy.protocols.failures import Kind
from proxy.protocols.imap.preauth import _COMMANDS, ImapPreauth
from proxy.protocols.imap.responses import FAREWELLS, REFUSALS
from proxy.protocols.limits import Limits
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.preauth import Offer
from tests.proxy.protocols.strategies import MANY, names, passwords
from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play

CONVERSATIONS = conversations("imap-client")
STEPS = [step for conversation in CONVERSATIONS for step in conversation.steps]


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_every_command_occurs_in_a_conversation(command: bytes) -> None:
    assert any(step.who == "C" and re.match(rb"\S+ %b\b" % command, step.data) for step in STEPS)


@pytest.mark.parametrize("kind", [*REFUSALS, *FAREWELLS])
def test_every_refusal_and_farewell_occurs_in_a_conversation(kind: Kind) -> None:
    orders = {word for step in STEPS if step.who == ">" for word in step.data.decode().split()[1:]}
    assert kind.name in orders


@pytest.mark.parametrize("mechanism", sorted(sasl.MECHANISMS))
def test_every_mechanism_occurs_with_and_without_an_initial_response(mechanism: str) -> None:
    asked = re.compile(rb"\S+ AUTHENTICATE %b( \S+)?\r\n" % mechanism.encode(), re.IGNORECASE)
    forms = [match[1] for step in STEPS if step.who == "C" and (match := asked.fullmatch(step.data))]
    assert None in forms
    assert any(forms)


@pytest.mark.parametrize(
    "verb", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"]
)
def test_a_verb_of_http_is_no_tag_whatever_stands_behind_it(verb: str) -> None:
    wire = MemoryWire([f"{verb} NOOP\r\n{verb.lower()} NOOP\r\na LOGOUT\r\n".encode()], secure=True)
    assert run(ImapPreauth(wire, Offer(Limits())).attempt()) is None
    assert wire.sent[:2] == [b"* BAD Invalid tag.\r\n"] * 2


def as_atom(value: bytes) -> bytes | None:
    return value if re.fullmatch(rb'[^\x00-\x20\x7f(){"\\]+', value) else None


def as_quoted(value: bytes) -> bytes:
    return b'"%b"' % re.sub(rb'(["\\])', rb"\\\1", value)


def as_literal(value: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(value), value)


def as_literal_plus(value: bytes) -> bytes:
    return b"{%d+}\r\n%b" % (len(value), value)


def logged_in(text: bytes) -> tuple[str, bytes]:
    preauth = ImapPreauth(MemoryWire([text], secure=True), Offer(Limits()))
    attempt = run(preauth.attempt())
    assert attempt is not None
    credentials = judge(attempt)
    assert credentials.authzid == ""
    return credentials.user, credentials.secret.reveal()


FORMS = st.sampled_from([as_atom, as_quoted, as_literal, as_literal_plus])


@MANY
@given(names, passwords, FORMS, FORMS)
def test_a_name_and_a_password_come_unchanged_through_every_form_of_login(
    user: str, password: bytes, name_form: object, password_form: object
) -> None:
    assert callable(name_form)
    assert callable(password_form)
    name, secret = name_form(user.encode()), password_form(password)
    if name is not None and secret is not None:
        assert logged_in(b"a LOGIN %b %b\r\n" % (name, secret)) == (user, password)


@MANY
@given(names, passwords, st.booleans())
def test_a_name_and_a_password_come_unchanged_through_every_mechanism(
    user: str, password: bytes, initial: bool
) -> None:
    glue = b" " if initial else b"\r\n"
    plain = sasl.encode(b"\0%b\0%b" % (user.encode(), password))
    assert logged_in(b"a AUTHENTICATE PLAIN%b%b\r\n" % (glue, plain)) == (user, password)
    name, secret = sasl.encode(user.encode()), sasl.encode(password)
    assert logged_in(b"a AUTHENTICATE LOGIN%b%b\r\n%b\r\n" % (glue, name, secret)) == (user, password)


def test_the_client_that_speaks_of_itself_is_cut_short_for_the_log() -> None:
    command = b'a ID ("name" "%b" "version" "%b")\r\n' % (b"n" * 200, b"v" * 200)
    preauth = ImapPreauth(MemoryWire([command, b"a LOGOUT\r\n"], secure=True), Offer(Limits()))
    assert run(preauth.attempt()) is None
    assert preauth.client_id == "n" * 200 + " " + "v" * 55
