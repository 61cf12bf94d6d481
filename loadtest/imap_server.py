"""A simulated IMAP server (RFC 3501, 2177, 2971, 4315, 4959): one INBOX, enough for a mail client to live in."""

from __future__ import annotations

import fnmatch
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeAlias

from loadtest.host import LINE, Host, acting_for
from loadtest.imap_mailbox import FLAGS, INVALID, KEEPS_NUMBERS, OpenMailbox
from loadtest.mailbox import Mailbox
from loadtest.streams import TellingWire
from loadtest.words import LITERAL, BadSyntax, Word, read_command, text
from proxy.protocols import sasl
from proxy.protocols.failures import Failure
from proxy.protocols.wire import BareNewline

MESSAGE = 1024 * 1024
"""Longest message that is taken, in bytes."""


class ImapServer:
    """One conversation; `serve` returns when the client has logged out, and raises the wire's failures."""

    def __init__(self, wire: TellingWire, host: Host) -> None:
        self._wire = wire
        self._host = host
        self._user = ""
        self._client = ""
        self._mailbox: Mailbox | None = None
        self._selected: OpenMailbox | None = None
        self._begins_tls = False
        self._over = False
        self._unsent = b""

    async def serve(self) -> None:
        """Hold the conversation."""
        try:
            await self._wire.send(f"* OK [CAPABILITY {self._capabilities()}] {self._host.name} ready.\r\n".encode())
            while not self._over:
                await self._exchange()
        finally:
            self._host.leave("imap", self._user)

    async def _exchange(self) -> None:
        """One command and its answer."""
        tag, outcome = "*", "BAD A command is needed behind the tag."
        try:
            longest = LITERAL if self._mailbox is None else MESSAGE
            first, *words = await read_command(self._wire, LINE, b"+ OK\r\n", longest)
            tag = text(first)
            outcome = await self._command(words) if words else outcome
        except BadSyntax as bad:
            tag, outcome = bad.first.decode(errors="replace") or tag, "BAD Syntax error."
        except BareNewline:
            outcome = "BAD Lines end in CR LF."
        await self._wire.send(self._unsent + f"{tag} {outcome}\r\n".encode())
        self._unsent = b""
        if self._begins_tls:
            self._begins_tls = False
            await self._wire.start_tls()

    async def _command(self, words: list[Word]) -> str:
        name, arguments = text(words[0]).upper(), words[1:]
        state = _BEFORE if self._mailbox is None else _AFTER
        handler = _ANY.get(name) or state.get(name)
        if handler is not None:
            outcome = await handler(self, arguments)
        elif self._selected is not None:
            outcome = await self._selected.command(name, arguments)
        else:
            return INVALID
        if self._selected is not None and name not in KEEPS_NUMBERS:
            self._unsent += self._selected.news()
        return outcome

    # --- in every state ---

    def _capabilities(self) -> str:
        tls = " STARTTLS" if self._host.offers_tls(self._wire) else ""
        state = f"{tls} AUTH=PLAIN" if self._mailbox is None else " NAMESPACE UNSELECT UIDPLUS"
        return f"IMAP4rev1 SASL-IR LITERAL+ ID IDLE{state}"

    async def _capability(self, _: list[Word]) -> str:
        self._untagged(f"CAPABILITY {self._capabilities()}")
        return "OK Capabilities told."

    async def _id(self, words: list[Word]) -> str:
        pairs = words[0] if words and isinstance(words[0], list) else []
        told = {text(key).lower(): text(value) for key, value in zip(pairs[::2], pairs[1::2], strict=False)}
        self._client = told.get("x-originating-ip", self._client)
        self._untagged(f'ID ("name" "{self._host.name}")')
        return "OK ID told."

    async def _nothing(self, _: list[Word]) -> str:
        return "OK Done."

    async def _logout(self, _: list[Word]) -> str:
        self._over, self._selected = True, None
        self._untagged("BYE See you.")
        return "OK Bye."

    # --- before login ---

    async def _login(self, words: list[Word]) -> str:
        if len(words) != 2:
            raise BadSyntax(b"")
        return self._admit(text(words[0]))

    async def _authenticate(self, words: list[Word]) -> str:
        mechanism, *initial = (text(word) for word in words or [b""])
        if mechanism.upper() != "PLAIN":
            return "NO Unknown mechanism."
        try:
            attempt = await sasl.plain(self._ask, self._response(initial[0].encode()) if initial else None)
        except Failure:
            return "BAD Malformed response."
        return self._admit(acting_for(attempt))

    async def _ask(self, challenge: bytes) -> bytes:
        await self._wire.send(b"+ " + sasl.encode(challenge) + b"\r\n")
        return self._response(await self._wire.line(LINE))

    @staticmethod
    def _response(line: bytes) -> bytes:
        return b"" if line == b"=" else sasl.decode(line)

    def _admit(self, user: str) -> str:
        self._mailbox = self._host.admit("imap", user, self._client)
        if self._mailbox is None:
            return "NO [AUTHENTICATIONFAILED] Nobody of that name."
        self._user = user
        return f"OK [CAPABILITY {self._capabilities()}] Logged in."

    async def _starttls(self, _: list[Word]) -> str:
        self._begins_tls = self._host.offers_tls(self._wire)
        return "OK Begin TLS." if self._begins_tls else "BAD No TLS."

    # --- after login ---

    async def _namespace(self, _: list[Word]) -> str:
        self._untagged('NAMESPACE (("" "/")) NIL NIL')
        return "OK Namespaces told."

    async def _list(self, words: list[Word]) -> str:
        pattern = text(words[-1]) if words else ""
        if pattern == "":
            self._untagged(r'LIST (\Noselect) "/" ""')
        elif fnmatch.fnmatchcase("INBOX", pattern.upper().replace("%", "*")):
            self._untagged(r'LIST (\HasNoChildren) "/" INBOX')
        return "OK Listed."

    async def _status(self, words: list[Word]) -> str:
        mailbox = self._named(words)
        if mailbox is None or not isinstance(words[-1], list):
            return "NO [NONEXISTENT] No such mailbox."
        values = {
            "MESSAGES": len(mailbox.messages),
            "RECENT": 0,
            "UIDNEXT": mailbox.uid_next,
            "UIDVALIDITY": mailbox.uid_validity,
            "UNSEEN": len(mailbox.messages) - mailbox.count(r"\Seen"),
        }
        wanted = [text(word).upper() for word in words[-1]]
        self._untagged(f"STATUS INBOX ({' '.join(f'{name} {values[name]}' for name in wanted if name in values)})")
        return "OK Status told."

    async def _select(self, words: list[Word]) -> str:
        return await self._open(words, read_only=False)

    async def _examine(self, words: list[Word]) -> str:
        return await self._open(words, read_only=True)

    async def _open(self, words: list[Word], *, read_only: bool) -> str:
        mailbox = self._named(words)
        self._selected = OpenMailbox(self._wire, mailbox, read_only) if mailbox is not None else None
        if self._selected is None:
            return "NO [NONEXISTENT] No such mailbox."
        self._unsent += self._selected.announcement()
        return f"OK [READ-{'ONLY' if read_only else 'WRITE'}] Opened."

    async def _close(self, words: list[Word]) -> str:
        if self._selected is not None:
            self._selected.remove_deleted()
        return await self._unselect(words)

    async def _unselect(self, _: list[Word]) -> str:
        was_open, self._selected = self._selected is not None, None
        return "OK Closed." if was_open else INVALID

    async def _append(self, words: list[Word]) -> str:
        mailbox, (given, received) = self._named(words), _append_options(words[1:-1])
        if mailbox is None:
            return "NO [TRYCREATE] No such mailbox."
        if len(words) < 2 or not isinstance(words[-1], bytes):
            raise BadSyntax(b"")
        message = mailbox.deliver(words[-1], given & set(FLAGS), received)
        if message is None:
            return "NO [OVERQUOTA] The mailbox is full."
        return f"OK [APPENDUID {mailbox.uid_validity} {message.uid}] Stored."

    async def _idle(self, _: list[Word]) -> str:
        await self._wire.send(b"+ idling\r\n")
        if self._selected is None or self._mailbox is None:
            return self._idled(await self._wire.line(LINE))
        self._host.listen(self._tell, self._user, self._mailbox)
        try:
            self._tell()
            return self._idled(await self._wire.line(LINE))
        finally:
            self._host.stop_listening(self._tell)

    def _tell(self) -> None:
        """Say what is new to a client that waits; one that is behind with reading hears it later."""
        if self._selected is not None and not self._wire.behind and (news := self._selected.news()):
            self._wire.tell(news)

    @staticmethod
    def _idled(line: bytes) -> str:
        return "OK Idled." if line.upper() == b"DONE" else "BAD DONE was expected."

    async def _cannot(self, _: list[Word]) -> str:
        return "NO [CANNOT] This is a simulated server."

    def _named(self, words: list[Word]) -> Mailbox | None:
        return self._mailbox if words and text(words[0]).upper() == "INBOX" else None

    def _untagged(self, words: str) -> None:
        """A line that goes before the tagged one, with it."""
        self._unsent += f"* {words}\r\n".encode()


def _append_options(words: list[Word]) -> tuple[set[str], datetime | None]:
    """The flags and the date of an APPEND command, both optional (RFC 3501 section 6.3.11)."""
    flags: set[str] = set()
    received = None
    for word in words:
        if isinstance(word, list):
            flags = {text(flag) for flag in word}
        else:
            with suppress(ValueError):
                received = datetime.strptime(text(word).strip(), "%d-%b-%Y %H:%M:%S %z").astimezone(UTC)
    return flags, received


_Handler: TypeAlias = Callable[[ImapServer, list[Word]], Awaitable[str]]

_ANY: Mapping[str, _Handler] = {
    "CAPABILITY": ImapServer._capability,
    "ID": ImapServer._id,
    "NOOP": ImapServer._nothing,
    "LOGOUT": ImapServer._logout,
}
_BEFORE: Mapping[str, _Handler] = {
    "LOGIN": ImapServer._login,
    "AUTHENTICATE": ImapServer._authenticate,
    "STARTTLS": ImapServer._starttls,
}
_AFTER: Mapping[str, _Handler] = {
    "NAMESPACE": ImapServer._namespace,
    "LIST": ImapServer._list,
    "LSUB": ImapServer._list,
    "STATUS": ImapServer._status,
    "SELECT": ImapServer._select,
    "EXAMINE": ImapServer._examine,
    "IDLE": ImapServer._idle,
    "APPEND": ImapServer._append,
    "CLOSE": ImapServer._close,
    "UNSELECT": ImapServer._unselect,
    "CHECK": ImapServer._nothing,
    "SUBSCRIBE": ImapServer._nothing,
    "UNSUBSCRIBE": ImapServer._nothing,
    "CREATE": ImapServer._cannot,
    "DELETE": ImapServer._cannot,
    "RENAME": ImapServer._cannot,
    "COPY": ImapServer._cannot,
}
