"""Conversations with IMAP backends."""

from __future__ import annotations

import pytest

from proxy.protocols.imap.login import _KINDS, ImapLogin
from proxy.protocols.limits import Limits
from proxy.protocols.login import Order
from proxy.protocols.memory import MemoryWire, run
from proxy.protocols.secret import Secret
from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play

CONVERSATIONS = conversations("imap-backend")


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)


@pytest.mark.parametrize("code", sorted(_KINDS))
def test_every_response_code_occurs_in_a_conversation(code: str) -> None:
    lines = [step.data.upper() for conversation in CONVERSATIONS for step in conversation.steps if step.who == "B"]
    assert any(line.startswith((b"L NO [%b] " % code.encode(), b"L NO [%b " % code.encode())) for line in lines)


@pytest.mark.parametrize(
    ("capability", "size", "announced"),
    [
        (b"LITERAL-", 4096, b"{4096+}\r\n"),
        (b"LITERAL-", 4098, b"{4098}\r\n"),
        (b"LITERAL+", 4098, b"{4098+}\r\n"),
        (b"IDLE", 4, b"{4}\r\n"),
    ],
)
def test_a_literal_waits_unless_the_backend_takes_it_at_once(capability: bytes, size: int, announced: bytes) -> None:
    secret = "é".encode() * (size // 2)
    greeting = b"* OK [CAPABILITY IMAP4rev1 %b] Ready.\r\n" % capability
    wire = MemoryWire([greeting, b"" if b"+" in announced else b"+ Go on.\r\n", b"L OK Logged in.\r\n"], secure=True)
    login = ImapLogin(wire, Order("alice", Secret(secret)), Limits())
    run(login.greeting())
    run(login.authenticate())
    assert b"".join(wire.sent) == b'L LOGIN "alice" %b%b\r\n' % (announced, secret)
    assert (len(wire.sent) == 1) is (b"+" in announced)
