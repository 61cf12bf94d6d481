"""Conversations with POP3 backends."""

from __future__ import annotations

import pytest

from proxy.protocols.pop3.login import _KINDS
from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play

CONVERSATIONS = conversations("pop3-backend")


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)


@pytest.mark.parametrize("code", sorted(_KINDS))
def test_every_response_code_occurs_in_a_conversation(code: str) -> None:
    lines = [step.data.upper() for conversation in CONVERSATIONS for step in conversation.steps if step.who == "B"]
    assert any(line.startswith(b"-ERR [%b]" % code.encode()) for line in lines)
