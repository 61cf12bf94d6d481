"""POP3 with a client that has not logged in (RFC 1939 section 4, RFC 2449, RFC 2595 section 4, RFC 5034)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.origin import Hop
from proxy.protocols.pop3 import responses
from proxy.protocols.preauth import BadCommand, Ended, Preauth, Welcome
from proxy.protocols.secret import Secret


class Pop3Preauth(Preauth):
    """The POP3 server's side of a conversation up to the login."""

    _user: bytes | None = None

    async def greet(self) -> None:
        await self._wire.send(b"+OK %bVestibule ready.\r\n" % (b"[XCLIENT] " if self._trusted else b""))

    def accept(self, welcome: Welcome) -> bytes:
        return b"+OK Logged in.\r\n"

    async def _command(self) -> Attempt | None:
        line = await self._wire.line(self._offer.limits.line)
        name, _, argument = line.partition(b" ")
        handler = _COMMANDS.get(name.upper())
        if handler is None:
            raise BadCommand("Unknown command, or not before login.")
        return await handler(self, argument)

    async def _ok(self, text: str) -> None:
        await self._wire.send(f"+OK {text}\r\n".encode())

    async def _list(self, text: str, lines: list[str]) -> None:
        await self._ok("\r\n".join([text, *lines, "."]))

    async def _do_capa(self, argument: bytes) -> None:
        lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"]
        if self.may_start_tls():
            lines.append("STLS")
        if self.passwords_allowed():
            lines.append("USER")
        if self.offered():
            lines.append(" ".join(["SASL", *self.offered()]))
        await self._list("Capability list follows.", lines)

    async def _do_noop(self, argument: bytes) -> None:
        await self._ok("NOOP completed.")

    async def _do_quit(self, argument: bytes) -> None:
        await self._ok("Logging out.")
        raise Ended

    async def _do_stls(self, argument: bytes) -> None:
        if not self.may_start_tls():
            raise BadCommand("TLS is already active." if self._wire.secure else "TLS is not available here.")
        await self._ok("Begin TLS negotiation now.")
        await self._wire.start_tls()
        self._user = None

    async def _do_unavailable(self, argument: bytes) -> None:
        """UTF8 and LANG (RFC 6856) before login: the backend is not known yet, so nothing can be promised."""
        await self._wire.send(b"-ERR Not available before login.\r\n")

    async def _do_xclient(self, argument: bytes) -> None:
        """Dovecot's XCLIENT; who is not trusted is answered alike and not believed."""
        if self._trusted:
            self.hop = Hop.from_xclient(argument.decode(errors="replace"))
        await self._ok("Updated.")

    async def _do_xoip(self, argument: bytes) -> None:
        """Zimbra's XOIP ADDRESS, the older form of the same."""
        await self._do_xclient(b"ADDR=" + argument)

    async def _do_user(self, argument: bytes) -> None:
        if not argument:
            raise BadCommand("A user name was expected.")
        self._require_privacy()
        self._user = argument
        await self._ok("Password, please.")

    async def _do_pass(self, argument: bytes) -> Attempt:
        """Everything behind the one space is the password, blanks included (RFC 1939 section 7)."""
        self._require_privacy()
        if self._user is None:
            raise BadCommand("USER comes before PASS.")
        user, self._user = self._user, None
        return Attempt("USER", user, Secret(argument))

    async def _do_auth(self, argument: bytes) -> Attempt | None:
        if not argument:
            await self._list("Mechanisms follow.", list(self.offered()))
            return None
        name, _, word = argument.partition(b" ")
        initial = (b"" if word == b"=" else sasl.decode(word)) if word else None
        return await self._authenticate(name.upper().decode(errors="replace"), initial)

    def _require_privacy(self) -> None:
        if not self.passwords_allowed():
            raise Failure(Kind.PRIVACY_REQUIRED)

    def _refusal(self, failure: Failure) -> bytes:
        return responses.refusal(failure)

    def _farewell(self, kind: Kind) -> bytes:
        return responses.farewell(kind)

    def _bad_command(self, text: str) -> bytes:
        return f"-ERR {text}\r\n".encode()


Handler = Callable[[Pop3Preauth, bytes], Awaitable[Attempt | None]]

_COMMANDS: Mapping[bytes, Handler] = {
    b"CAPA": Pop3Preauth._do_capa,
    b"NOOP": Pop3Preauth._do_noop,
    b"QUIT": Pop3Preauth._do_quit,
    b"STLS": Pop3Preauth._do_stls,
    b"UTF8": Pop3Preauth._do_unavailable,
    b"LANG": Pop3Preauth._do_unavailable,
    b"XCLIENT": Pop3Preauth._do_xclient,
    b"XOIP": Pop3Preauth._do_xoip,
    b"USER": Pop3Preauth._do_user,
    b"PASS": Pop3Preauth._do_pass,
    b"AUTH": Pop3Preauth._do_auth,
}
