"""Logging in at an IMAP backend (RFC 3501 section 6.2, RFC 4959, RFC 7888, RFC 2971)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from proxy.protocols import sasl
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.limits import Limits
from proxy.protocols.login import Login, Order, code_name, code_within, refused
from proxy.protocols.preauth import Welcome
from proxy.protocols.wire import Wire

_QUOTABLE = re.compile(rb"[\x20-\x7e]*")
_SPECIAL = re.compile(rb'(["\\])')
#: A line that is continued by a literal; nothing we wait for before login is.
_CONTINUED = re.compile(rb"\{[0-9]+\+?\}$")

#: Response codes of a refused login; what stands for a wrong password is decided by the session.
_KINDS: Mapping[str, Kind] = {
    "UNAVAILABLE": Kind.BACKEND_TEMPORARY,
    "SYS/TEMP": Kind.BACKEND_TEMPORARY,
    "REFERRAL": Kind.BACKEND_REMOTE,
    "LIMIT": Kind.LIMIT,
    "INUSE": Kind.BACKEND_CODE,
    "EXPIRED": Kind.EXPIRED,
    "CONTACTADMIN": Kind.DISABLED,
    "AUTHORIZATIONFAILED": Kind.NOT_AUTHORIZED,
    "PRIVACYREQUIRED": Kind.BACKEND_CONFIG,
    "SERVERBUG": Kind.BACKEND_CONFIG,
}


class ImapLogin(Login):
    """The IMAP client's side of a conversation with a backend up to the login.

    Tags: S STARTTLS, C CAPABILITY, I ID, L the login.
    """

    def __init__(self, wire: Wire, order: Order, limits: Limits) -> None:
        super().__init__(wire, order, limits)
        self._capability = ""
        self._untagged = b""

    async def greeting(self) -> None:
        self._capability = _greeted(await self._line())

    async def secure(self) -> None:
        await self._know_capability()
        if "STARTTLS" not in self._words():
            raise Failure(Kind.BACKEND_CONFIG, "the backend does not offer STARTTLS")
        if not (await self._command(b"S", b"S STARTTLS\r\n")).upper().startswith(b"OK"):
            raise Failure(Kind.BACKEND_CONFIG, "the backend refused STARTTLS")
        await self._wire.start_tls()
        self._capability, self._untagged = "", b""

    async def authenticate(self) -> Welcome:
        await self._know_capability()
        words = self._words()
        if not words & {"IMAP4REV1", "IMAP4REV2"}:
            raise Failure(Kind.BACKEND_PROTOCOL, "the backend does not offer IMAP4rev1")
        if "LOGINDISABLED" in words and not self._order.needs_sasl and "AUTH=PLAIN" not in words:
            raise Failure(Kind.BACKEND_CONFIG, "the backend allows no login on this connection")
        head = b""
        if self._order.origin is not None and "ID" in words:
            head, self.forwarded = b"I ID %b\r\n" % self._order.origin.imap_id(), True
        result = await self._log_in(head, words)
        code = _accepted(result)
        if code is None:
            raise _refused(result)
        return Welcome(code, self._capability, self._untagged)

    async def _log_in(self, head: bytes, words: frozenset[str]) -> bytes:
        if f"AUTH={self._order.mechanism}" in words:
            return await self._sasl(head, initial="SASL-IR" in words)
        if self._order.needs_sasl:
            raise Failure(Kind.BACKEND_CONFIG, f"the backend does not offer AUTH={self._order.mechanism}")
        return await self._plain_login(head, words)

    async def _sasl(self, head: bytes, *, initial: bool) -> bytes:
        message = sasl.encode(self._order.message())
        command = b"L AUTHENTICATE %b" % self._order.mechanism.encode()
        if initial:
            result = await self._command(b"L", b"%b%b %b\r\n" % (head, command, message))
        else:
            result = await self._command(b"L", b"%b%b\r\n" % (head, command), b"%b\r\n" % message)
        while result.startswith(b"+"):
            result = await self._command(b"L", b"%b\r\n" % self._token_answer())
        return result

    async def _plain_login(self, head: bytes, words: frozenset[str]) -> bytes:
        user, password = self._order.user.encode(), self._order.secret.reveal()
        parts = [head + b"L LOGIN "]
        for value, end in ((user, b" "), (password, b"\r\n")):
            opening, *rest = _argument(value, words)
            parts[-1] += opening
            parts += rest
            parts[-1] += end
        return await self._command(b"L", *parts)

    async def _command(self, tag: bytes, *parts: bytes) -> bytes:
        """Send the parts, each but the first after a `+`; the tagged line without its tag, or a `+` too many."""
        waiting = list(parts)
        while True:
            await self._wire.send(waiting.pop(0))
            result = await self._result(tag + b" ")
            if not (waiting and result.startswith(b"+")):
                return result

    async def _result(self, tag: bytes) -> bytes:
        while True:
            line = await self._line()
            if _CONTINUED.search(line):
                raise Failure(Kind.BACKEND_PROTOCOL, "a literal before login")
            if line.startswith(tag):
                return line[len(tag) :]
            if line.startswith(b"+"):
                return line
            self._note(line)

    def _note(self, line: bytes) -> None:
        """Keep what an untagged line means; replies to our ID and a farewell are not the client's business."""
        word = line.partition(b" ")[2].partition(b" ")[0].upper()
        if line.startswith(b"* ") and word == b"CAPABILITY":
            self._capability = line[len(b"* CAPABILITY ") :].decode(errors="replace")
        elif line.startswith(b"* ") and word not in (b"ID", b"BYE"):
            self._untagged += line + b"\r\n"
        elif not line.startswith((b"* ", b"I ")):
            raise Failure(Kind.BACKEND_PROTOCOL, "an answer to no question")

    async def _know_capability(self) -> None:
        if not self._capability:
            result = await self._command(b"C", b"C CAPABILITY\r\n")
            if not result.upper().startswith(b"OK") or not self._capability:
                raise Failure(Kind.BACKEND_PROTOCOL, "CAPABILITY failed")

    def _words(self) -> frozenset[str]:
        return _words(self._capability)


@lru_cache(maxsize=64)  # a backend says the same to everybody
def _greeted(line: bytes) -> str:
    """The capabilities that a greeting tells, if it does; raises `Failure` for anything but a plain OK."""
    status, _, rest = line.partition(b" ")[2].partition(b" ")
    if not line.startswith(b"* ") or status.upper() not in (b"OK", b"PREAUTH", b"BYE"):
        raise Failure(Kind.BACKEND_PROTOCOL, "no IMAP greeting")
    if status.upper() == b"PREAUTH":
        raise Failure(Kind.BACKEND_CONFIG, "the backend greets with PREAUTH")
    if status.upper() == b"BYE":
        raise Failure(Kind.BACKEND_REMOTE, "the backend greets with BYE")
    code = code_within(rest.decode(errors="replace"), "[", "]")
    return code.partition(" ")[2] if code_name(code).upper() == "CAPABILITY" else ""


@lru_cache(maxsize=64)
def _words(capability: str) -> frozenset[str]:
    return frozenset(capability.upper().split())


@lru_cache(maxsize=64)
def _accepted(result: bytes) -> str | None:
    """The response code of a login that was accepted, or None for any other."""
    status, _, rest = result.decode(errors="replace").partition(" ")
    code = code_within(rest, "[", "]")
    return (code if code_name(code) else "") if status.upper() == "OK" else None


def _refused(result: bytes) -> Failure:
    status, _, rest = result.decode(errors="replace").partition(" ")
    if status.upper() != "NO":
        return Failure(Kind.BACKEND_REMOTE, "the backend took the login for a bad command")
    return refused("NO", code_name(code_within(rest, "[", "]")), _KINDS)


def _argument(value: bytes, words: frozenset[str]) -> Iterator[bytes]:
    """One LOGIN argument: quoted where the grammar allows, else a literal, split where a `+` has to be awaited."""
    if _QUOTABLE.fullmatch(value):
        yield b'"%b"' % _SPECIAL.sub(rb"\\\1", value)
    elif "LITERAL+" in words or ("LITERAL-" in words and len(value) <= 4096):
        yield b"{%d+}\r\n%b" % (len(value), value)
    else:
        yield b"{%d}\r\n" % len(value)
        yield value
