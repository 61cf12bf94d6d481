"""Conversations with ManageSieve backends."""

from __future__ import annotations

import pytest

from proxy.protocols.limits import Limits
from proxy.protocols.login import Order
from proxy.protocols.managesieve.login import _KINDS, ManageSieveLogin
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.sasl import encode
from proxy.protocols.secret import Secret
from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play

CONVERSATIONS = conversations("managesieve-backend")


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)


@pytest.mark.parametrize("code", sorted(_KINDS))
def test_every_response_code_occurs_in_a_conversation(code: str) -> None:
    lines = [step.data.upper() for conversation in CONVERSATIONS for step in conversation.steps if step.who == "B"]
    assert any(line.startswith((b"NO (%b)" % code.encode(), b"NO (%b " % code.encode())) for line in lines)


@pytest.mark.parametrize(
    ("size", "form"), [(761, b'"%b"\r\n'), (762, b"{1028+}\r\n%b\r\n"), (3000, b"{4012+}\r\n%b\r\n")]
)
def test_a_message_over_1024_bytes_is_a_literal(size: int, form: bytes) -> None:
    order = Order("alice", Secret(b"x" * size))
    wire = MemoryWire([b'"SASL" "PLAIN"\r\nOK\r\n', b"OK\r\n"], secure=True)
    login = ManageSieveLogin(wire, order, Limits())
    run(login.greeting())
    run(login.authenticate())
    assert b"".join(wire.sent) == b'AUTHENTICATE "PLAIN" ' + form % encode(order.message())
