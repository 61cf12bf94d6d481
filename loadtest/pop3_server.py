"""A simulated POP3 server (RFC 1939, RFC 2449, RFC 5034): enough for a mail client to fetch and delete its mail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from loadtest.host import LINE, Host, acting_for
from loadtest.mailbox import Mailbox, Message
from proxy.protocols import sasl
from proxy.protocols.failures import Failure
from proxy.protocols.wire import BareNewline, Wire

_CAPABILITIES = ("TOP", "UIDL", "USER", "RESP-CODES", "AUTH-RESP-CODE", "SASL PLAIN")


class Pop3Server:
    """One conversation; `serve` returns when the client has quit, and raises the wire's failures."""

    def __init__(self, wire: Wire, host: Host) -> None:
        self._wire = wire
        self._host = host
        self._user = ""
        self._logged_in = ""
        self._client = ""
        self._mailbox: Mailbox | None = None
        self._messages: list[Message] = []
        self._deleted: set[int] = set()
        self._quit = False

    async def serve(self) -> None:
        """Hold the conversation."""
        try:
            await self._ok(f"[XCLIENT] {self._host.name} ready.")
            while not self._quit:
                await self._exchange()
        finally:
            self._host.leave("pop3", self._logged_in)

    async def _exchange(self) -> None:
        """One command and its answer."""
        try:
            command, _, argument = (await self._wire.line(LINE)).decode(errors="replace").partition(" ")
        except BareNewline:
            await self._no("Lines end in CR LF.")
            return
        name, state = command.upper(), _BEFORE if self._mailbox is None else _AFTER
        handler = _ANY.get(name) or state.get(name, Pop3Server._unknown)
        await handler(self, argument)

    # --- in every state ---

    async def _capa(self, _: str) -> None:
        tls = ["STLS"] if self._host.offers_tls(self._wire) else []
        await self._lines("Capabilities", [*_CAPABILITIES, *tls, f"IMPLEMENTATION {self._host.name}"])

    async def _noop(self, _: str) -> None:
        await self._ok("")

    async def _quits(self, _: str) -> None:
        if self._mailbox is not None:
            self._mailbox.remove(self._deleted)
        self._quit = True
        await self._ok("Bye.")

    async def _unknown(self, _: str) -> None:
        await self._no("Unknown command, or not now.")

    # --- before login ---

    async def _takes_user(self, argument: str) -> None:
        self._user = argument
        await self._ok("")

    async def _pass(self, _: str) -> None:
        await self._admit(self._user)

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() != "PLAIN":
            await self._no("Unknown mechanism.")
            return
        try:
            attempt = await sasl.plain(self._ask, self._response(initial.encode()) if initial else None)
        except Failure:
            await self._no("Malformed response.")
        else:
            await self._admit(acting_for(attempt))

    async def _stls(self, _: str) -> None:
        if not self._host.offers_tls(self._wire):
            await self._no("No TLS.")
            return
        await self._ok("Begin TLS.")
        await self._wire.start_tls()

    async def _xclient(self, argument: str) -> None:
        self._client = next((word[5:] for word in argument.split() if word.upper().startswith("ADDR=")), "")
        await self._ok("Updated")

    async def _admit(self, user: str) -> None:
        self._mailbox = self._host.admit("pop3", user, self._client)
        if self._mailbox is None:
            await self._no("[AUTH] Nobody of that name.")
            return
        self._logged_in = user
        self._messages = list(self._mailbox.messages)
        await self._ok("Logged in.")

    async def _ask(self, challenge: bytes) -> bytes:
        await self._wire.send(b"+ " + sasl.encode(challenge) + b"\r\n")
        return self._response(await self._wire.line(LINE))

    @staticmethod
    def _response(line: bytes) -> bytes:
        return b"" if line == b"=" else sasl.decode(line)

    # --- after login ---

    async def _stat(self, _: str) -> None:
        left = self._left()
        await self._ok(f"{len(left)} {sum(message.size for _, message in left)}")

    async def _list(self, argument: str) -> None:
        await self._listing(argument, lambda message: str(message.size))

    async def _uidl(self, argument: str) -> None:
        await self._listing(argument, lambda message: f"uid-{message.uid}")

    async def _retr(self, argument: str) -> None:
        if message := await self._chosen(argument):
            await self._content(message.data)

    async def _top(self, argument: str) -> None:
        number, _, count = argument.partition(" ")
        if message := await self._chosen(number):
            lines = message.text.split(b"\r\n")[: int(count) if count.isdecimal() else 0]
            await self._content(message.header + b"".join(line + b"\r\n" for line in lines))

    async def _dele(self, argument: str) -> None:
        if message := await self._chosen(argument):
            self._deleted.add(message.uid)
            await self._ok("Deleted.")

    async def _rset(self, _: str) -> None:
        self._deleted.clear()
        await self._ok("")

    def _left(self) -> list[tuple[int, Message]]:
        """Messages that are not deleted, with their numbers."""
        return [(i, message) for i, message in enumerate(self._messages, 1) if message.uid not in self._deleted]

    async def _chosen(self, number: str) -> Message | None:
        message = dict(self._left()).get(int(number)) if number.isdecimal() and len(number) < 10 else None
        if message is None:
            await self._no("No such message.")
        return message

    async def _listing(self, argument: str, shown: Callable[[Message], str]) -> None:
        if not argument:
            await self._lines("Messages", [f"{number} {shown(message)}" for number, message in self._left()])
        elif message := await self._chosen(argument):
            await self._ok(f"{argument} {shown(message)}")

    async def _content(self, data: bytes) -> None:
        stuffed = (b"\r\n" + data).replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n")
        await self._wire.send(b"+OK %d octets%b\r\n.\r\n" % (len(data), stuffed))

    async def _lines(self, title: str, lines: list[str]) -> None:
        await self._wire.send("\r\n".join([f"+OK {title}", *lines, ".", ""]).encode())

    async def _ok(self, text: str) -> None:
        await self._wire.send(f"+OK {text}".rstrip().encode() + b"\r\n")

    async def _no(self, text: str) -> None:
        await self._wire.send(f"-ERR {text}\r\n".encode())


_Handler: TypeAlias = Callable[[Pop3Server, str], Awaitable[None]]

_ANY: Mapping[str, _Handler] = {
    "CAPA": Pop3Server._capa,
    "QUIT": Pop3Server._quits,
    "NOOP": Pop3Server._noop,
}
_BEFORE: Mapping[str, _Handler] = {
    "USER": Pop3Server._takes_user,
    "PASS": Pop3Server._pass,
    "AUTH": Pop3Server._auth,
    "STLS": Pop3Server._stls,
    "XCLIENT": Pop3Server._xclient,
}
_AFTER: Mapping[str, _Handler] = {
    "STAT": Pop3Server._stat,
    "LIST": Pop3Server._list,
    "UIDL": Pop3Server._uidl,
    "RETR": Pop3Server._retr,
    "TOP": Pop3Server._top,
    "DELE": Pop3Server._dele,
    "RSET": Pop3Server._rset,
}
