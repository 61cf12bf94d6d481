"""A simulated IMAP server (RFC 3501, 2177, 2971, 4959): one INBOX, enough for a mail client to look around."""

from __future__ import annotations

import fnmatch

from loadtest.host import LINE, Host, acting_for
from loadtest.imap_mailbox import INVALID, Handler, OpenMailbox
from loadtest.mailbox import Mailbox
from loadtest.words import BadSyntax, Word, read_command, text
from proxy.protocols import sasl
from proxy.protocols.failures import Failure
from proxy.protocols.wire import BareNewline, Wire


class ImapServer:
    """One conversation; `serve` returns when the client has logged out, and raises the wire's failures."""

    def __init__(self, wire: Wire, host: Host) -> None:
        self._wire = wire
        self._host = host
        self._client = ""
        self._mailbox: Mailbox | None = None
        self._selected: OpenMailbox | None = None
        self._begins_tls = False
        self._over = False
        self._any: dict[str, Handler] = {
            "CAPABILITY": self._capability,
            "ID": self._id,
            "NOOP": self._nothing,
            "LOGOUT": self._logout,
        }
        self._before: dict[str, Handler] = {
            "LOGIN": self._login,
            "AUTHENTICATE": self._authenticate,
            "STARTTLS": self._starttls,
        }
        self._after: dict[str, Handler] = {
            "NAMESPACE": self._namespace,
            "LIST": self._list,
            "LSUB": self._list,
            "STATUS": self._status,
            "SELECT": self._select,
            "EXAMINE": self._examine,
            "IDLE": self._idle,
            "CLOSE": self._close,
            "UNSELECT": self._unselect,
            "CHECK": self._nothing,
            "SUBSCRIBE": self._nothing,
            "UNSUBSCRIBE": self._nothing,
            "CREATE": self._cannot,
            "DELETE": self._cannot,
            "RENAME": self._cannot,
            "APPEND": self._cannot,
            "COPY": self._cannot,
        }

    async def serve(self) -> None:
        """Hold the conversation."""
        await self._untagged(f"OK [CAPABILITY {self._capabilities()}] {self._host.name} ready.")
        while not self._over:
            tag, outcome = "*", "BAD A command is needed behind the tag."
            try:
                first, *words = await read_command(self._wire, LINE, b"+ OK\r\n")
                tag = text(first)
                outcome = await self._handler(text(words[0]).upper())(words[1:]) if words else outcome
            except BadSyntax as bad:
                tag, outcome = bad.first.decode(errors="replace") or tag, "BAD Syntax error."
            except BareNewline:
                outcome = "BAD Lines end in CR LF."
            await self._wire.send(f"{tag} {outcome}\r\n".encode())
            if self._begins_tls:
                self._begins_tls = False
                await self._wire.start_tls()

    def _handler(self, command: str) -> Handler:
        tables = [self._any, self._before if self._mailbox is None else self._after]
        tables += [self._selected.commands] if self._selected is not None else []
        return next((table[command] for table in tables if command in table), self._unknown)

    # --- in every state ---

    def _capabilities(self) -> str:
        tls = " STARTTLS" if self._host.offers_tls(self._wire) else ""
        state = f"{tls} AUTH=PLAIN" if self._mailbox is None else " NAMESPACE UNSELECT"
        return f"IMAP4rev1 SASL-IR LITERAL+ ID IDLE{state}"

    async def _capability(self, _: list[Word]) -> str:
        await self._untagged(f"CAPABILITY {self._capabilities()}")
        return "OK Capabilities told."

    async def _id(self, words: list[Word]) -> str:
        pairs = words[0] if words and isinstance(words[0], list) else []
        told = {text(key).lower(): text(value) for key, value in zip(pairs[::2], pairs[1::2], strict=False)}
        self._client = told.get("x-originating-ip", self._client)
        await self._untagged(f'ID ("name" "{self._host.name}")')
        return "OK ID told."

    async def _nothing(self, _: list[Word]) -> str:
        return "OK Done."

    async def _logout(self, _: list[Word]) -> str:
        self._over = True
        await self._untagged("BYE See you.")
        return "OK Bye."

    async def _unknown(self, _: list[Word]) -> str:
        return INVALID

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
        return f"OK [CAPABILITY {self._capabilities()}] Logged in."

    async def _starttls(self, _: list[Word]) -> str:
        self._begins_tls = self._host.offers_tls(self._wire)
        return "OK Begin TLS." if self._begins_tls else "BAD No TLS."

    # --- after login ---

    async def _namespace(self, _: list[Word]) -> str:
        await self._untagged('NAMESPACE (("" "/")) NIL NIL')
        return "OK Namespaces told."

    async def _list(self, words: list[Word]) -> str:
        pattern = text(words[-1]) if words else ""
        if pattern == "":
            await self._untagged(r'LIST (\Noselect) "/" ""')
        elif fnmatch.fnmatchcase("INBOX", pattern.upper().replace("%", "*")):
            await self._untagged(r'LIST (\HasNoChildren) "/" INBOX')
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
        await self._untagged(
            f"STATUS INBOX ({' '.join(f'{name} {values[name]}' for name in wanted if name in values)})"
        )
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
        await self._selected.announce()
        return f"OK [READ-{'ONLY' if read_only else 'WRITE'}] Opened."

    async def _close(self, words: list[Word]) -> str:
        if self._selected is not None:
            self._selected.remove_deleted()
        return await self._unselect(words)

    async def _unselect(self, _: list[Word]) -> str:
        was_open, self._selected = self._selected is not None, None
        return "OK Closed." if was_open else INVALID

    async def _idle(self, _: list[Word]) -> str:
        await self._wire.send(b"+ idling\r\n")
        ended = await self._wire.line(LINE)
        return "OK Idled." if ended.upper() == b"DONE" else "BAD DONE was expected."

    async def _cannot(self, _: list[Word]) -> str:
        return "NO [CANNOT] This is a simulated server."

    def _named(self, words: list[Word]) -> Mailbox | None:
        return self._mailbox if words and text(words[0]).upper() == "INBOX" else None

    async def _untagged(self, words: str) -> None:
        await self._wire.send(f"* {words}\r\n".encode())
