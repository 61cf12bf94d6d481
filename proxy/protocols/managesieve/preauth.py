"""ManageSieve with a client that has not logged in (RFC 5804 sections 1.7, 2.1 to 2.4 and 2.13)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from proxy.protocols import sasl
from proxy.protocols.credentials import Attempt
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.managesieve import responses
from proxy.protocols.managesieve.strings import Strings, quoted
from proxy.protocols.origin import Hop
from proxy.protocols.preauth import BadCommand, Ended, Preauth, Welcome
from proxy.protocols.wire import LineTooLong


class ManageSievePreauth(Preauth):
    """The ManageSieve server's side of a conversation up to the login."""

    async def greet(self) -> None:
        await self._wire.send(self._capabilities("Vestibule ready."))

    def accept(self, welcome: Welcome) -> bytes:
        return b'OK "Logged in."\r\n'

    async def _command(self) -> Attempt | None:
        limits = self._offer.limits
        line = await self._wire.line(limits.line + limits.sasl)
        name = line.partition(b" ")[0]
        handler = _COMMANDS.get(name.upper())
        if len(line) > limits.line and handler is not ManageSievePreauth._do_authenticate:
            raise LineTooLong
        strings = Strings(self._wire, line, limits)
        try:
            if handler is None:
                raise BadCommand("Unknown command, or not before login.")
            strings.take(name)
            return await handler(self, strings)
        except BadCommand:
            await strings.skip()
            raise

    def _capabilities(self, text: str) -> bytes:
        """The capability lines and the OK that are greeting, answer to CAPABILITY, and sequel of STARTTLS."""
        lines = [
            '"IMPLEMENTATION" "Vestibule"',
            f'"SIEVE" {quoted(self._offer.sieve_extensions)}',
            f'"SASL" "{" ".join(self.offered())}"',
        ]
        if self.may_start_tls():
            lines.append('"STARTTLS"')
        if self._trusted:
            lines.append('"XCLIENT"')
        lines += ['"VERSION" "1.0"', f'OK "{text}"', ""]
        return "\r\n".join(lines).encode()

    async def _do_capability(self, strings: Strings) -> None:
        strings.end()
        await self._wire.send(self._capabilities("Capability completed."))

    async def _do_starttls(self, strings: Strings) -> None:
        strings.end()
        if not self.may_start_tls():
            raise BadCommand("TLS is already active." if self._wire.secure else "TLS is not available here.")
        await self._wire.send(b'OK "Begin TLS negotiation now."\r\n')
        await self._wire.start_tls()
        await self._wire.send(self._capabilities("TLS negotiation successful."))

    async def _do_noop(self, strings: Strings) -> None:
        """Section 2.13: a client marks its place in the stream with a string that comes back."""
        if not strings.rest:
            await self._wire.send(b'OK "NOOP completed."\r\n')
            return
        strings.space()
        mark = await strings.next(self._offer.limits.literal)
        strings.end()
        await self._wire.send(b'OK (TAG {%d}\r\n%b) "Done."\r\n' % (len(mark), mark))

    async def _do_logout(self, strings: Strings) -> None:
        strings.end()
        await self._wire.send(b'OK "Logging out."\r\n')
        raise Ended

    async def _do_xclient(self, strings: Strings) -> None:
        """Dovecot's XCLIENT; who is not trusted is refused and not believed."""
        if not self._trusted:
            raise BadCommand("You are not a trusted proxy.")
        self.hop = Hop.from_xclient(strings.rest.strip().decode(errors="replace"))
        await self._wire.send(b'OK "Updated."\r\n')

    async def _do_authenticate(self, strings: Strings) -> Attempt:
        strings.space()
        limits, word = self._offer.limits, None
        name = (await strings.next(limits.literal)).upper().decode(errors="replace")
        if strings.rest:
            strings.space()
            word = await strings.next(limits.sasl)
        strings.end()
        return await self._authenticate(name, None if word is None else sasl.decode(word))

    async def _ask(self, challenge: bytes) -> bytes:
        await self._wire.send(b'"%b"\r\n' % sasl.encode(challenge))
        limits = self._offer.limits
        strings = Strings(self._wire, await self._wire.line(limits.sasl + 2), limits)
        try:
            answer = await strings.next(limits.sasl)
            strings.end()
        except BadCommand:
            await strings.skip()
            raise
        if answer == b"*":
            raise Failure(Kind.CANCELLED)
        return sasl.decode(answer)

    def _refusal(self, failure: Failure) -> bytes:
        return responses.refusal(failure)

    def _farewell(self, kind: Kind) -> bytes:
        return responses.farewell(kind)

    def _bad_command(self, text: str) -> bytes:
        return f'NO "{text}"\r\n'.encode()


Handler = Callable[[ManageSievePreauth, Strings], Awaitable[Attempt | None]]

_COMMANDS: Mapping[bytes, Handler] = {
    b"CAPABILITY": ManageSievePreauth._do_capability,
    b"STARTTLS": ManageSievePreauth._do_starttls,
    b"NOOP": ManageSievePreauth._do_noop,
    b"LOGOUT": ManageSievePreauth._do_logout,
    b"XCLIENT": ManageSievePreauth._do_xclient,
    b"AUTHENTICATE": ManageSievePreauth._do_authenticate,
}
