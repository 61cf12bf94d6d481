"""The commands of a simulated IMAP server that need an open mailbox: FETCH, STORE, SEARCH, EXPUNGE, and UID."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from loadtest.imap_items import flags, item_names, marks_seen, render
from loadtest.imap_search import search, sequence_set
from loadtest.mailbox import Mailbox, Message
from loadtest.words import BadSyntax, Word, text
from proxy.protocols.wire import Wire

Handler = Callable[[list[Word]], Awaitable[str]]
"""Takes a command's arguments, sends untagged lines, and returns what the tagged line says behind the tag."""

INVALID = "BAD Unknown command, or not now."

_FLAGS = r"\Answered \Flagged \Deleted \Seen \Draft"


class OpenMailbox:
    """A mailbox as one session has it open; `commands` are those it adds to the session's."""

    def __init__(self, wire: Wire, mailbox: Mailbox, read_only: bool) -> None:
        self._wire = wire
        self._mailbox = mailbox
        self._read_only = read_only
        self.commands: dict[str, Handler] = {
            "FETCH": lambda words: self._fetch(words, by_uid=False),
            "STORE": lambda words: self._store(words, by_uid=False),
            "SEARCH": lambda words: self._search(words, by_uid=False),
            "EXPUNGE": self._expunge,
            "UID": self._uid,
        }

    async def announce(self) -> None:
        """The untagged lines that answer SELECT and EXAMINE."""
        await self._untagged(f"FLAGS ({_FLAGS})")
        await self._untagged(f"OK [PERMANENTFLAGS ({'' if self._read_only else _FLAGS})] Flags that stay.")
        await self._untagged(f"{len(self._mailbox.messages)} EXISTS")
        await self._untagged("0 RECENT")
        await self._untagged(f"OK [UIDVALIDITY {self._mailbox.uid_validity}] UIDs are valid.")
        await self._untagged(f"OK [UIDNEXT {self._mailbox.uid_next}] The next UID.")

    def remove_deleted(self) -> None:
        """Forget the messages that have the flag Deleted, unless the mailbox is read only."""
        if self._read_only:
            return
        self._mailbox.remove({message.uid for message in self._mailbox.messages if r"\Deleted" in message.flags})

    async def _uid(self, words: list[Word]) -> str:
        handlers = {"FETCH": self._fetch, "STORE": self._store, "SEARCH": self._search}
        handler = handlers.get(text(words[0]).upper()) if words else None
        return await handler(words[1:], by_uid=True) if handler else INVALID

    async def _fetch(self, words: list[Word], *, by_uid: bool) -> str:
        if len(words) < 2:
            raise BadSyntax(b"")
        items = item_names(words[1])
        if by_uid and "UID" not in (item.upper() for item in items):
            items = ["UID", *items]
        for number, message in self._chosen(words[0], by_uid):
            if not self._read_only and any(map(marks_seen, items)):
                message.flags.add(r"\Seen")
            await self._tell(number, b" ".join(render(item, message) for item in items))
        return "OK Fetched."

    async def _store(self, words: list[Word], *, by_uid: bool) -> str:
        if self._read_only:
            return "NO The mailbox was opened to be read only."
        if len(words) != 3:
            raise BadSyntax(b"")
        order, silent, _ = text(words[1]).upper().partition(".SILENT")
        given = {text(word) for word in (words[2] if isinstance(words[2], list) else [words[2]])}
        for number, message in self._chosen(words[0], by_uid):
            message.flags = _changed(message.flags, order, given & set(_FLAGS.split()))
            if not silent:
                await self._tell(number, (b"UID %d " % message.uid if by_uid else b"") + b"FLAGS " + flags(message))
        return "OK Stored."

    async def _search(self, words: list[Word], *, by_uid: bool) -> str:
        found = search(words, self._mailbox.messages)
        await self._untagged(" ".join(["SEARCH", *(str(message.uid if by_uid else i) for i, message in found)]))
        return "OK Searched."

    async def _expunge(self, _: list[Word]) -> str:
        if self._read_only:
            return "NO The mailbox was opened to be read only."
        gone = [number for number, message in enumerate(self._mailbox.messages, 1) if r"\Deleted" in message.flags]
        self.remove_deleted()
        for number in reversed(gone):
            await self._untagged(f"{number} EXPUNGE")
        return "OK Expunged."

    def _chosen(self, word: Word, by_uid: bool) -> Iterator[tuple[int, Message]]:
        messages = self._mailbox.messages
        inside = sequence_set(word, (messages[-1].uid if by_uid else len(messages)) if messages else 0)
        for number, message in enumerate(messages, 1):
            if inside(message.uid if by_uid else number):
                yield number, message

    async def _tell(self, number: int, items: bytes) -> None:
        await self._wire.send(b"* %d FETCH (%b)\r\n" % (number, items))

    async def _untagged(self, words: str) -> None:
        await self._wire.send(f"* {words}\r\n".encode())


def _changed(old: set[str], order: str, given: set[str]) -> set[str]:
    orders = {"FLAGS": given, "+FLAGS": old | given, "-FLAGS": old - given}
    if order not in orders:
        raise BadSyntax(b"")
    return orders[order]
