"""The end of a session that is logged in: between two responses and with the protocol's farewell, where that can be.

A client that is told why its session ends comes back at once and complains of nothing; a farewell in the midst of a
response would be taken for mail. So a session that is to end is watched for as long as it takes to know, and no longer
than it may take: sessions that nobody ends cost nothing for it.
"""

from __future__ import annotations

from typing import Final, Protocol

from proxy.dispatcher import Dispatcher

QUIET: Final = 0.25
"""Seconds for which nothing may have moved before a farewell is said."""

PATIENCE: Final = 2.0
"""Seconds after which a session that is to end is closed, whatever it is doing."""


class Conversation(Protocol):
    """What is to end."""

    over: bool

    @property
    def received(self) -> int:
        """Bytes that have come from either side so far."""

    def between_responses(self) -> bool:
        """Whether the client would take what it gets next for a response of its own."""

    def end(self, closed_by: str, farewell: bytes = b"") -> None:
        """Say `farewell` to the client and close both sides."""


class Farewell:
    """A conversation that ends when it has been still for `quiet` seconds between responses, or at loop time `until`.

    At `until` it is closed without a word, unless both hold then. The dispatcher's sweep asks; nothing else runs.
    """

    __slots__ = (
        "_conversation",
        "_dispatcher",
        "_quiet",
        "_reason",
        "_seen",
        "_still_at",
        "_until",
        "_words",
        "deadline",
    )

    def __init__(
        self,
        conversation: Conversation,
        dispatcher: Dispatcher,
        reason: str,
        words: bytes,
        quiet: float,
        until: float,
    ) -> None:
        self._conversation = conversation
        self._dispatcher = dispatcher
        self._reason = reason
        self._words = words
        self._quiet = quiet
        self._until = until
        self._listen()
        dispatcher.timed[self] = None

    def expire(self) -> None:
        """End the conversation if it may be, or must be; else look again later."""
        conversation, now = self._conversation, self._dispatcher.now()
        if conversation.over:
            del self._dispatcher.timed[self]
        elif self._is_still(now) and conversation.between_responses():
            self._end(self._words)
        elif now >= self._until:
            self._end(b"")
        else:
            self._listen()

    def _listen(self) -> None:
        """Begin to wait for stillness."""
        self._seen = self._conversation.received
        self._still_at = self._dispatcher.now() + self._quiet
        self.deadline = min(self._still_at, self._until)

    def _is_still(self, now: float) -> bool:
        return now >= self._still_at and self._conversation.received == self._seen

    def _end(self, words: bytes) -> None:
        del self._dispatcher.timed[self]
        self._conversation.end(self._reason, words)
