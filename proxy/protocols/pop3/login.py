"""Logging in at a POP3 backend (RFC 1939 section 7, RFC 2595 section 4, RFC 5034; XCLIENT as Dovecot has it)."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.protocols import sasl
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.login import Login, code_name, code_within, refused
from proxy.protocols.preauth import Welcome

#: Response codes of a refused login.
_KINDS: Mapping[str, Kind] = {
    "SYS/TEMP": Kind.BACKEND_TEMPORARY,
    "IN-USE": Kind.LIMIT,
    "LOGIN-DELAY": Kind.BACKEND_CODE,
    "SYS/PERM": Kind.BACKEND_CODE,
}

#: Longest command with an initial response, CR LF included; a longer one waits for the challenge (RFC 5034 section 4).
_LONGEST = 255


class Pop3Login(Login):
    """The POP3 client's side of a conversation with a backend up to the login."""

    _xclient = False

    async def greeting(self) -> None:
        line = await self._line()
        if line.startswith(b"-ERR"):
            raise Failure(Kind.BACKEND_REMOTE, "the backend greets with an error")
        if not line.startswith(b"+OK"):
            raise Failure(Kind.BACKEND_PROTOCOL, "no POP3 greeting")
        self._xclient = line.startswith(b"+OK [XCLIENT]")

    async def secure(self) -> None:
        await self._wire.send(b"STLS\r\n")
        if not (await self._line()).startswith(b"+OK"):
            raise Failure(Kind.BACKEND_CONFIG, "the backend does not offer STLS")
        await self._wire.start_tls()

    async def authenticate(self) -> Welcome:
        head = b""
        if self._xclient and self._order.origin is not None:
            head, self.forwarded = b"XCLIENT %b\r\n" % self._order.origin.xclient(), True
        answer = await (self._sasl(head) if self._order.needs_sasl else self._user_and_pass(head))
        return self._judge(answer)

    async def _sasl(self, head: bytes) -> bytes:
        message = sasl.encode(self._order.message())
        command = b"AUTH %b" % self._order.mechanism.encode()
        waiting = [message] if len(b"%b %b\r\n" % (command, message)) > _LONGEST else []
        await self._wire.send(head + command + (b"\r\n" if waiting else b" %b\r\n" % message))
        await self._expect_updated()
        while (answer := await self._line())[:2] in (b"+ ", b"+"):
            await self._wire.send(b"%b\r\n" % (waiting.pop() if waiting else self._token_answer()))
        return answer

    async def _user_and_pass(self, head: bytes) -> bytes:
        await self._wire.send(b"%bUSER %b\r\n" % (head, self._order.user.encode()))
        await self._expect_updated()
        answer = await self._line()
        if not answer.startswith(b"+OK"):
            return answer
        await self._wire.send(b"PASS %b\r\n" % self._order.secret.reveal())
        return await self._line()

    async def _expect_updated(self) -> None:
        if self.forwarded and not (await self._line()).startswith(b"+OK"):
            raise Failure(Kind.BACKEND_CONFIG, "the backend refused XCLIENT")

    @staticmethod
    def _judge(answer: bytes) -> Welcome:
        if answer.startswith(b"+OK"):
            return Welcome()
        if not answer.startswith(b"-ERR"):
            raise Failure(Kind.BACKEND_PROTOCOL, "no POP3 answer")
        text = answer[4:].decode(errors="replace").lstrip()
        raise refused("-ERR", code_name(code_within(text, "[", "]")), _KINDS)
