"""Conversations with clients of IMAP."""

from __future__ import annotations

import pytest

from tests.transcripts import CHUNKINGS, Chunking, Conversation, conversations, play


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=lambda chunking: chunking.__name__)
@pytest.mark.parametrize("conversation", conversations("imap-client"), ids=str)
def test_a_conversation_goes_as_it_is_written(conversation: Conversation, chunking: Chunking) -> None:
    play(conversation, chunking)
