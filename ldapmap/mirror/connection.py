"""A connection on which a server is followed: content synchronisations that go on, and questions whether it lives."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ldapmap.client.ber import BerError
from ldapmap.client.connection import SearchConnection, Target
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import Filter
from ldapmap.client.messages import BaseProbe, FoundEntry, Other, Result
from ldapmap.client.results import described
from ldapmap.errors import ServerFault, Unavailable
from ldapmap.mirror.syncrepl import SyncDone, SyncEvent, SyncStream, sync_request

Receiver = Callable[[Sequence[SyncEvent]], None]
"""Takes what has arrived for one search; what it raises ends the connection."""


@dataclass(frozen=True, slots=True)
class SyncSearch:
    """What is followed: which entries, and which of their attributes. `name` is that of its cookie."""

    name: str
    base: str
    scope: Literal["one", "subtree"]
    condition: Filter
    attributes: tuple[str, ...]


class SyncConnection(SearchConnection):
    """Follows any number of searches. `over` is done when the connection ends, always with an exception.

    What arrives is handed on at once and nothing more is read meanwhile, so nothing piles up here. `activity` is set
    whenever something has arrived or the connection has ended; whoever waits for it clears it.
    """

    def __init__(self, target: Target, deadlines: Deadlines) -> None:
        super().__init__(target, deadlines)
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.activity = asyncio.Event()
        self._synced_at = self._loop.time()
        self._stream: SyncStream | None = None
        self._receivers: dict[int, Receiver] = {}
        self._failure: Exception | None = None

    @property
    def silent_for(self) -> float:
        """Seconds since a message of a search came, or since the connection was made."""
        return self._loop.time() - self._synced_at

    def follow(self, search: SyncSearch, cookie: bytes, receiver: Receiver) -> None:
        """Ask for everything since `cookie`, and for all that comes. Raises ServerFault on a closed connection."""
        if self._stream is None:
            self._stream = SyncStream(self._target.message_limit)
        message_id = self._next_id()
        self._receivers[message_id] = receiver
        request = sync_request(
            message_id, search.base, search.scope, search.condition, search.attributes, cookie, persist=True
        )
        self._open_transport().write(request)

    async def probe(self, base: str) -> None:
        """Return when the server has answered, whatever it says, or sent anything else meanwhile.

        Raises ServerFault after the operation's time without a word from it.
        """
        try:
            await self.search(BaseProbe(base), b"")
        except Unavailable:
            if self.closed:
                raise

    def data_received(self, data: bytes) -> None:
        if self._stream is None:
            super().data_received(data)
            return
        try:
            events = self._stream.feed(data)
            self._heard += len(events)
            for message_id, group in itertools.groupby(events, _message_id):
                self._hand_on(message_id, list(group))
        except BerError as error:
            self.abort(f"the server sent garbage: {error}")
        except Exception as failure:  # whoever waits for `over` hears it
            self._failure = failure
            self.abort("what it sent could not be used")
        self.activity.set()

    def _hand_on(self, message_id: int, events: list[SyncEvent]) -> None:
        receiver = self._receivers.get(message_id)
        if receiver is None:
            self._received(event for event in events if isinstance(event, FoundEntry | Result | Other))
            return
        self._synced_at = self._loop.time()
        receiver(events)
        last = events[-1]
        if isinstance(last, SyncDone | Result):
            result = last.result if isinstance(last, SyncDone) else last
            raise ServerFault(f"{self}: the server stopped sending changes: {described(result)}")

    def _end(self, reason: str) -> None:
        super()._end(reason)
        if not self.over.done():
            self.over.set_exception(self._failure or ServerFault(f"{self}: {reason}", again=True))
            self.over.exception()  # whoever ends it himself need not look
            self.activity.set()


_message_id = operator.attrgetter("message_id")
