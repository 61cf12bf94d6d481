"""The commands of a simulated IMAP server that need an open mailbox: FETCH, STORE, SEARCH, EXPUNGE, and UID."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet

from loadtest.imap_items import flags, item_names, marks_seen, render
from loadtest.imap_search import search, sequence_set
from loadtest.mailbox import Mailbox, Message
from loadtest.words import BadSyntax, Word, text
from proxy.protocols.wire import Wire

INVALID = "BAD Unknown command, or not now."

FLAGS = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")

KEEPS_NUMBERS = frozenset({"FETCH", "STORE", "SEARCH"})
"""Commands during which no message may lose its number (RFC 3501 section 7.4.1)."""

_READ_ONLY = "NO The mailbox was opened to be read only."


class OpenMailbox:
    """A mailbox as one session has it open.

    The session sees the messages it has been told of, in their numbers, until `news` tells it what has changed.
    """

    __slots__ = ("_mailbox", "_read_only", "_revision", "_view", "_wire")

    def __init__(self, wire: Wire, mailbox: Mailbox, read_only: bool) -> None:
        self._wire = wire
        self._mailbox = mailbox
        self._read_only = read_only
        self._view = list(mailbox.messages)
        self._revision = mailbox.revision

    def announcement(self) -> bytes:
        """The untagged lines that answer SELECT and EXAMINE."""
        flags = " ".join(FLAGS)
        lines = (
            f"FLAGS ({flags})",
            f"OK [PERMANENTFLAGS ({'' if self._read_only else flags})] Flags that stay.",
            f"{len(self._view)} EXISTS",
            "0 RECENT",
            f"OK [UIDVALIDITY {self._mailbox.uid_validity}] UIDs are valid.",
            f"OK [UIDNEXT {self._mailbox.uid_next}] The next UID.",
        )
        return "".join(f"* {line}\r\n" for line in lines).encode()

    def news(self) -> bytes:
        """The untagged lines that bring the session up to date: what has gone, then how many there are."""
        if self._revision == self._mailbox.revision:
            return b""
        self._revision = self._mailbox.revision
        old, self._view = self._view, list(self._mailbox.messages)
        left = {message.uid for message in self._view}
        gone = [number for number, message in enumerate(old, 1) if message.uid not in left]
        lines = [b"* %d EXPUNGE\r\n" % number for number in reversed(gone)]
        if len(self._view) > len(old) - len(gone):
            lines.append(b"* %d EXISTS\r\n" % len(self._view))
        return b"".join(lines)

    async def command(self, name: str, words: list[Word]) -> str:
        """Follow one command; what its tagged line says behind the tag."""
        if name == "UID" and words:
            name, words, by_uid = text(words[0]).upper(), words[1:], True
        else:
            by_uid = False
        handler = _COMMANDS.get(name)
        return await handler(self, words, by_uid) if handler is not None else INVALID

    def remove_deleted(self, inside: Callable[[int], bool] = lambda _: True) -> None:
        """Forget messages that have the flag Deleted and such a UID, unless the mailbox is read only."""
        if not self._read_only:
            deleted = (message.uid for message in self._view if r"\Deleted" in message.flags)
            self._mailbox.remove({uid for uid in deleted if inside(uid)})

    async def _fetch(self, words: list[Word], by_uid: bool) -> str:
        if len(words) < 2:
            raise BadSyntax(b"")
        items = item_names(words[1])
        if by_uid and "UID" not in (item.upper() for item in items):
            items = ["UID", *items]
        sees = not self._read_only and any(map(marks_seen, items))
        for number, message in self._chosen(words[0], by_uid):
            if sees and r"\Seen" not in message.flags:
                message.flags = message.flags | {r"\Seen"}
            await self._tell(number, b" ".join(render(item, message) for item in items))
        return "OK Fetched."

    async def _store(self, words: list[Word], by_uid: bool) -> str:
        if self._read_only:
            return _READ_ONLY
        if len(words) != 3:
            raise BadSyntax(b"")
        order, silent, _ = text(words[1]).upper().partition(".SILENT")
        given = {text(word) for word in (words[2] if isinstance(words[2], list) else [words[2]])}
        for number, message in self._chosen(words[0], by_uid):
            message.flags = _changed(message.flags, order, given & set(FLAGS))
            if not silent:
                await self._tell(number, (b"UID %d " % message.uid if by_uid else b"") + b"FLAGS " + flags(message))
        return "OK Stored."

    async def _search(self, words: list[Word], by_uid: bool) -> str:
        found = search(words, self._view)
        numbers = [message.uid if by_uid else number for number, message in found]
        await self._wire.send(f"* {' '.join(map(str, ['SEARCH', *numbers]))}\r\n".encode())
        return "OK Searched."

    async def _expunge(self, words: list[Word], by_uid: bool) -> str:
        """What has gone is told by `news`."""
        if self._read_only:
            return _READ_ONLY
        if by_uid != (len(words) == 1):
            raise BadSyntax(b"")
        if by_uid:
            self.remove_deleted(sequence_set(words[0], self._view[-1].uid if self._view else 0))
        else:
            self.remove_deleted()
        return "OK Expunged."

    def _chosen(self, word: Word, by_uid: bool) -> list[tuple[int, Message]]:
        view = self._view
        inside = sequence_set(word, (view[-1].uid if by_uid else len(view)) if view else 0)
        return [(i, message) for i, message in enumerate(view, 1) if inside(message.uid if by_uid else i)]

    async def _tell(self, number: int, items: bytes) -> None:
        await self._wire.send(b"* %d FETCH (%b)\r\n" % (number, items))


def _changed(old: AbstractSet[str], order: str, given: AbstractSet[str]) -> AbstractSet[str]:
    orders = {"FLAGS": given, "+FLAGS": old | given, "-FLAGS": old - given}
    if order not in orders:
        raise BadSyntax(b"")
    return orders[order]


_COMMANDS: Mapping[str, Callable[[OpenMailbox, list[Word], bool], Awaitable[str]]] = {
    "FETCH": OpenMailbox._fetch,
    "STORE": OpenMailbox._store,
    "SEARCH": OpenMailbox._search,
    "EXPUNGE": OpenMailbox._expunge,
}
