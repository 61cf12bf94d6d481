"""Logging in at a ManageSieve backend (RFC 5804 sections 2.1 and 2.2; XCLIENT as Dovecot has it)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.protocols import sasl
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.login import Login, Order, code_name, code_within, refused
from proxy.protocols.preauth import Welcome
from proxy.protocols.wire import Wire

_LITERAL = re.compile(rb"\{([0-9]{1,6})\}$")
#: Pigeonhole has no code for its limit of connections, only this text.
_LIMIT_TEXT = "Maximum number of connections"

#: Response codes of a refused login.
_KINDS: Mapping[str, Kind] = {
    "TRYLATER": Kind.BACKEND_TEMPORARY,
    "TRYLATER/NORETRY": Kind.BACKEND_CONFIG,
    "REFERRAL": Kind.BACKEND_REMOTE,
    "ENCRYPT-NEEDED": Kind.BACKEND_CONFIG,
    "AUTH-TOO-WEAK": Kind.BACKEND_CONFIG,
    "LIMIT": Kind.LIMIT,
}


class ManageSieveLogin(Login):
    """The ManageSieve client's side of a conversation with a backend up to the login."""

    def __init__(self, wire: Wire, order: Order, limits: Limits) -> None:
        super().__init__(wire, order, limits)
        self._capabilities: dict[str, str] = {}

    async def greeting(self) -> None:
        self._capabilities = {}
        while (line := await self._answer()).startswith('"'):
            name, _, value = line[1:].partition('"')
            self._capabilities[name.upper()] = value.strip(' "').upper()
        status = line.partition(" ")[0].upper()
        if status in ("NO", "BYE"):
            raise Failure(Kind.BACKEND_REMOTE, "the backend does not welcome us")
        if status != "OK":
            raise Failure(Kind.BACKEND_PROTOCOL, "no ManageSieve greeting")

    async def secure(self) -> None:
        if "STARTTLS" not in self._capabilities:
            raise Failure(Kind.BACKEND_CONFIG, "the backend does not offer STARTTLS")
        await self._wire.send(b"STARTTLS\r\n")
        if not (await self._answer()).upper().startswith("OK"):
            raise Failure(Kind.BACKEND_CONFIG, "the backend refused STARTTLS")
        await self._wire.start_tls()
        await self.greeting()

    async def authenticate(self) -> Welcome:
        if self._order.mechanism not in self._capabilities.get("SASL", "").split():
            raise Failure(Kind.BACKEND_CONFIG, f"the backend does not offer {self._order.mechanism}")
        head = b""
        if self._order.origin is not None and "XCLIENT" in self._capabilities:
            head, self.forwarded = b"XCLIENT %b\r\n" % self._order.origin.xclient(), True
        message = _string(sasl.encode(self._order.message()))
        await self._wire.send(b'%bAUTHENTICATE "%b" %b\r\n' % (head, self._order.mechanism.encode(), message))
        if self.forwarded and not (await self._answer()).upper().startswith("OK"):
            raise Failure(Kind.BACKEND_CONFIG, "the backend refused XCLIENT")
        while (answer := await self._answer()).startswith('"'):
            await self._wire.send(_string(self._token_answer()) + b"\r\n")
        return self._judge(answer)

    async def _answer(self) -> str:
        """A response line or challenge; a literal that ends it is put into quotes."""
        line = await self._line()
        if (literal := _LITERAL.search(line)) is None:
            return line.decode(errors="replace")
        if int(literal[1]) > self._limits.backend_line:
            raise Failure(Kind.BACKEND_PROTOCOL, "a literal is too long")
        words = await self._wire.exactly(int(literal[1]))
        rest = await self._line()
        return (line[: literal.start()] + b'"' + words + b'"' + rest).decode(errors="replace")

    @staticmethod
    def _judge(answer: str) -> Welcome:
        status, _, rest = answer.partition(" ")
        if status.upper() == "OK":
            return Welcome()
        if status.upper() not in ("NO", "BYE"):
            raise Failure(Kind.BACKEND_PROTOCOL, "no ManageSieve answer")
        code = code_name(code_within(rest, "(", ")"))
        if not code and rest.startswith(f'"{_LIMIT_TEXT}'):
            code = "LIMIT"
        if code.upper() not in _KINDS:
            code = code.partition("/")[0]  # a code that is not known in particular means what its first part means
        if status.upper() == "BYE" and code.upper() not in _KINDS:
            raise Failure(Kind.BACKEND_REMOTE, "the backend ended the conversation")
        raise refused(status.upper(), code, _KINDS)


def _string(value: bytes) -> bytes:
    """Base64 as a quoted string, or as a literal beyond the 1024 bytes that every server takes quoted."""
    return b'"%b"' % value if len(value) <= 1024 else b"{%d+}\r\n%b" % (len(value), value)
