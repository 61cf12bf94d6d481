"""IMAP with a client that has not logged in (RFC 3501 sections 6.1 and 6.2, RFC 4959, RFC 7888, RFC 2971, RFC 5161)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.imap import responses
from proxy.protocols.imap.arguments import Arguments
from proxy.protocols.origin import Hop
from proxy.protocols.preauth import BadCommand, Ended, Preauth, Welcome
from proxy.protocols.secret import Secret
from proxy.protocols.wire import LineTooLong

#: Tag characters of RFC 3501 less those that mean something to a browser: what is echoed is harmless anywhere.
_TAG = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\+<>&:']+")
#: A browser or scanner speaking HTTP; nothing of it is reflected.
_HTTP = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"PRI"})


class ImapPreauth(Preauth):
    """The IMAP server's side of a conversation up to the login."""

    _tag = "*"
    _asked_capability = False
    _began_tls = False

    async def greet(self) -> None:
        await self._wire.send(f"* OK [CAPABILITY {self._capability()}] Vestibule ready.\r\n".encode())

    def accept(self, welcome: Welcome) -> bytes:
        """As a Dovecot proxy does: the backend's capabilities reach the client in the form it has shown to read.

        A client that has asked CAPABILITY does not read response codes and gets an untagged line; any other gets the
        code in its OK, the backend's own or the list that was learnt before.
        """
        capability = welcome.code.partition(" ")[2] if welcome.code.upper().startswith("CAPABILITY ") else welcome.known
        ok, listed = "Logged in.", b""
        if capability and self._asked_capability:
            listed = f"* CAPABILITY {capability}\r\n".encode()
        elif capability:
            ok = f"[CAPABILITY {capability}] {ok}"
        return welcome.untagged + listed + f"{self._tag} OK {ok}\r\n".encode()

    async def _command(self) -> Attempt | None:
        self._tag = "*"
        line = await self._wire.line(self._longest)
        tag, _, rest = line.partition(b" ")
        name = rest.partition(b" ")[0]
        handler = _COMMANDS.get(name.upper())
        if len(line) > self._offer.limits.line and handler not in _LONG:
            raise LineTooLong
        arguments = Arguments(self._wire, line, self._offer.limits)
        try:
            if handler is None and tag.upper() in _COMMANDS:
                raise BadCommand('A command begins with a tag, as in "a1 LOGIN name password".')
            self._accept_tag(tag)
            if handler is None:
                raise BadCommand("Unknown command, or not before login.")
            arguments.take(b"%b %b" % (tag, name))
            return await handler(self, arguments)
        except BadCommand:
            await arguments.skip()
            raise

    @property
    def _longest(self) -> int:
        """ID (RFC 2971 allows 32 KiB) and AUTHENTICATE with an initial response outgrow the ordinary line."""
        limits = self._offer.limits
        return limits.line + max(limits.sasl, limits.id_pairs * (limits.id_key + limits.id_value + 6))

    def _accept_tag(self, tag: bytes) -> None:
        if len(tag) > self._offer.limits.tag or tag.upper() in _HTTP or not _TAG.fullmatch(tag):
            raise BadCommand("Invalid tag.")
        self._tag = tag.decode()

    def _capability(self) -> str:
        return _capability(self.may_start_tls(), self.passwords_allowed(), self.offered())

    async def _reply(self, text: str, untagged: str = "") -> None:
        await self._wire.send(f"{untagged}{self._tag} {text}\r\n".encode())

    async def _do_capability(self, arguments: Arguments) -> None:
        arguments.end()
        if not self._began_tls:  # afterwards a client has to ask, whatever it has read (RFC 3501 section 6.2.1)
            self._asked_capability = True
        await self._reply("OK Capability completed.", f"* CAPABILITY {self._capability()}\r\n")

    async def _do_noop(self, arguments: Arguments) -> None:
        arguments.end()
        await self._reply("OK NOOP completed.")

    async def _do_logout(self, arguments: Arguments) -> None:
        arguments.end()
        await self._reply("OK Logout completed.", "* BYE Logging out.\r\n")
        raise Ended

    async def _do_enable(self, arguments: Arguments) -> None:
        """Nothing can be enabled before the backend is known; RFC 5161 section 3.1 has an empty list for that."""
        arguments.space()
        arguments.atom()
        while arguments.take(b" "):
            arguments.atom()
        arguments.end()
        await self._reply("OK Enable completed.", "* ENABLED\r\n")

    async def _do_id(self, arguments: Arguments) -> None:
        arguments.space()
        pairs = await self._id_pairs(arguments)
        arguments.end()
        self.client_id = " ".join(pairs[key] for key in ("name", "version") if key in pairs)[:256]
        if self._trusted:
            self.hop = Hop.from_id(pairs)
        await self._reply("OK ID completed.", '* ID ("name" "Vestibule")\r\n')

    async def _id_pairs(self, arguments: Arguments) -> dict[str, str]:
        pairs: dict[str, str] = {}
        if not arguments.take(b"("):
            if await arguments.nstring(0) is not None:
                raise BadCommand("NIL or a list was expected.")
            return pairs
        for count in range(self._offer.limits.id_pairs + 1):
            if arguments.take(b")"):
                return pairs
            if count:
                arguments.space()
            key = await arguments.string(self._offer.limits.id_key)
            arguments.space()
            value = await arguments.nstring(self._offer.limits.id_value)
            pairs[key.decode(errors="replace").lower()] = (value or b"").decode(errors="replace")
        raise BadCommand("The list is too long.")

    async def _do_starttls(self, arguments: Arguments) -> None:
        arguments.end()
        if not self.may_start_tls():
            raise BadCommand("TLS is already active." if self._wire.secure else "TLS is not available here.")
        await self._reply("OK Begin TLS negotiation now.")
        await self._wire.start_tls()
        self._began_tls = True

    async def _do_login(self, arguments: Arguments) -> Attempt:
        limit = self._offer.limits.literal
        arguments.space()
        user = await arguments.astring(limit)
        arguments.space()
        password = await arguments.astring(limit)
        arguments.end()
        if not self.passwords_allowed():
            await self._wire.send(responses.EXPOSED)
            raise Failure(Kind.PRIVACY_REQUIRED)
        return Attempt("LOGIN", user, Secret(password))

    async def _do_authenticate(self, arguments: Arguments) -> Attempt:
        arguments.space()
        name = arguments.atom().upper().decode(errors="replace")
        word = arguments.atom() if arguments.take(b" ") else None
        arguments.end()
        initial = None if word is None else self._decoded(word)
        if initial and name in sasl.PLAINTEXT and not self.passwords_allowed():
            await self._wire.send(responses.EXPOSED)
        return await self._authenticate(name, initial)

    def _decoded(self, word: bytes) -> bytes:
        """An initial response; `=` stands for the empty one (RFC 4959 section 3)."""
        if len(word) > self._offer.limits.sasl:
            raise LineTooLong
        return b"" if word == b"=" else sasl.decode(word)

    def _refusal(self, failure: Failure) -> bytes:
        return responses.refusal(self._tag, failure)

    def _farewell(self, kind: Kind) -> bytes:
        if kind is Kind.INTERNAL and self._tag != "*":
            return responses.bug(self._tag)
        return responses.farewell(kind)

    def _bad_command(self, text: str) -> bytes:
        return f"{self._tag} BAD {text}\r\n".encode()


@cache  # each listener asks for very few combinations, for every client
def _capability(starttls: bool, passwords: bool, mechanisms: tuple[str, ...]) -> str:
    words = ["IMAP4rev1", "SASL-IR", "LITERAL+", "ID", "ENABLE"]
    if starttls:
        words.append("STARTTLS")
    if not passwords:
        words.append("LOGINDISABLED")
    return " ".join(words + [f"AUTH={name}" for name in mechanisms])


Handler = Callable[[ImapPreauth, Arguments], Awaitable[Attempt | None]]

_COMMANDS: Mapping[bytes, Handler] = {
    b"CAPABILITY": ImapPreauth._do_capability,
    b"NOOP": ImapPreauth._do_noop,
    b"LOGOUT": ImapPreauth._do_logout,
    b"ENABLE": ImapPreauth._do_enable,
    b"ID": ImapPreauth._do_id,
    b"STARTTLS": ImapPreauth._do_starttls,
    b"LOGIN": ImapPreauth._do_login,
    b"AUTHENTICATE": ImapPreauth._do_authenticate,
}

#: Commands whose line may be longer than `Limits.line`.
_LONG = (ImapPreauth._do_id, ImapPreauth._do_authenticate)
