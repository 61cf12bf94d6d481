"""A connection for long answers: one search at a time, page by page, with controls.

Nobody else waits on it, so whoever stops waiting for an answer closes it, as with a bind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from ldapmap.client.ber import BerError
from ldapmap.client.connection import Connection, Target
from ldapmap.client.deadlines import Deadlines
from ldapmap.client.messages import SEARCH_DONE, FoundEntry, Response, Responses, Result
from ldapmap.client.results import SIZE_LIMIT_EXCEEDED, described, search_verdict
from ldapmap.errors import ServerFault, Unavailable
from ldapmap.mirror.controls import (
    PAGED_RESULTS,
    ControlledDecoder,
    Controls,
    Question,
    next_page,
    paged_results,
    search_request,
)

T = TypeVar("T")

PAGE = 1000
"""Entries asked for at once: what Active Directory allows (MaxPageSize)."""

PAGE_SECONDS = 60.0
"""Longest wait for one answer: a busy server may take its time over a page of entries it has to look for."""


class ListingConnection(Connection):
    """Searches whose entries are handed on as they come."""

    def __init__(self, target: Target, deadlines: Deadlines) -> None:
        super().__init__(target, deadlines)
        self._decoder = ControlledDecoder()
        self._responses = Responses(target.message_limit, self._decoder)
        self._take: Callable[[FoundEntry], None] = _ignore

    async def ask(
        self, question: Question, take: Callable[[FoundEntry], None], controls: Sequence[bytes] = ()
    ) -> Controls:
        """Hand every entry to `take`, and return the controls of the result when the search has ended well.

        `take` may raise BerError for an entry that cannot be. Raises Unavailable, Misconfigured or ServerFault.
        """
        message_id = self._next_id()
        self._take = take
        try:
            _judge(await self._serial(message_id, search_request(message_id, question, controls), SEARCH_DONE))
        finally:
            self._take = _ignore
        return self._decoder.controls

    async def first(self, question: Question, seconds: float) -> FoundEntry | None:
        """The one entry of a search that the server answers at once; None: there is none. Raises as `ask` does."""
        found: list[FoundEntry] = []
        try:
            async with asyncio.timeout(seconds):
                await self.ask(question, _bounded(found, 1))
        except TimeoutError:
            raise ServerFault(f"{self}: no answer within {seconds:g} s") from None
        return found[0] if found else None

    async def pages(self, question: Question, controls: Sequence[bytes] = ()) -> AsyncIterator[list[FoundEntry]]:
        """All entries, at most `PAGE` at a time. Raises as `ask` does."""
        cookie = b""
        while True:
            found: list[FoundEntry] = []
            answered = await self.ask(question, _bounded(found, PAGE), [paged_results(PAGE, cookie), *controls])
            yield found
            cookie = self.understood(next_page, answered.get(PAGED_RESULTS, b"\x30\x05\x02\x01\x00\x04\x00"))
            if not cookie:
                return

    def understood(self, read: Callable[[bytes], T], value: bytes) -> T:
        """What `read` makes of a control's value. ServerFault and a closed connection when it raises BerError."""
        try:
            return read(value)
        except BerError as error:
            self.abort(f"the server sent garbage: {error}")
            raise ServerFault(f"{self}: the server sent garbage: {error}") from None

    def _received(self, responses: Iterable[Response]) -> None:
        for response in responses:
            if type(response) is not FoundEntry:
                super()._received((response,))
            elif response.message_id in self._pending:
                self._heard += 1
                self._take(response)


def _judge(result: Result) -> None:
    if result.code == SIZE_LIMIT_EXCEEDED:
        raise Unavailable(f"search: {described(result)}")
    verdict = search_verdict(result)
    if verdict is not None:
        raise verdict


def _bounded(found: list[FoundEntry], limit: int) -> Callable[[FoundEntry], None]:
    """Collect entries; BerError when there are more than can be."""

    def take(entry: FoundEntry) -> None:
        if len(found) == limit:
            raise BerError("more entries than were asked for")
        found.append(entry)

    return take


def _ignore(entry: FoundEntry) -> None:
    """Nobody waits for it."""
