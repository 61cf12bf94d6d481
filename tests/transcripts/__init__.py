"""Conversations as they are written in this folder's files, and what plays them to a dialogue."""

from .player import CHUNKINGS, Chunking, play
from .script import Conversation, conversations

__all__ = ["CHUNKINGS", "Chunking", "Conversation", "conversations", "play"]
