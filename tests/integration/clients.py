"""Mail clients for tests: raw lines, ManageSieve (which the standard library lacks), curl and openssl."""

from __future__ import annotations

import base64
import imaplib
import poplib
import re
import socket
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from .processes import program

TIMEOUT_SECONDS = 30.0


def trusting(ca_file: Path) -> ssl.SSLContext:
    """A client's TLS context that trusts one authority and checks names."""
    return ssl.create_default_context(cafile=str(ca_file))


def open_socket(
    address: str, port: int, context: ssl.SSLContext | None = None, name: str = "", source: str = ""
) -> socket.socket:
    """A connected socket, inside TLS if a context is given; `name` is the server's, for SNI and its certificate."""
    plain = socket.create_connection((address, port), TIMEOUT_SECONDS, (source, 0) if source else None)
    return context.wrap_socket(plain, server_hostname=name or address) if context else plain


class Lines:
    """A connection that is read line by line; the mother of hand-made conversations."""

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext | None = None, *, name: str = "", source: str = ""
    ) -> None:
        self._host = name or address
        self.socket = open_socket(address, port, context, name, source)
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        """The next line with its end, or what there was when the other side closed."""
        while (end := self._received.find(b"\n")) < 0:
            if not (data := self.socket.recv(65536)):
                end = len(self._received) - 1
                break
            self._received += data
        return self._take(end + 1)

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes; EOFError when the other side closes before."""
        while len(self._received) < count:
            if not (data := self.socket.recv(1 << 20)):
                raise EOFError(f"{len(self._received)} of {count} bytes arrived")
            self._received += data
        return self._take(count)

    def until(self, start: bytes) -> list[bytes]:
        """All lines up to and including the first that begins with `start`; EOFError when there is none."""
        lines = [self.line()]
        while not lines[-1].startswith(start):
            if not lines[-1]:
                raise EOFError(f"closed before {start!r}: {lines}")
            lines.append(self.line())
        return lines

    def rest(self) -> bytes:
        """Everything up to the end of the connection; a reset counts as an end."""
        try:
            while data := self.socket.recv(65536):
                self._received += data
        except (ConnectionResetError, ssl.SSLError):
            pass
        return self._take(len(self._received))

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin TLS now; nothing may have been received that has not been read."""
        assert not self._received, self._received
        self.socket = context.wrap_socket(self.socket, server_hostname=self._host)

    def closed(self) -> bool:
        """Whether the other side has closed, without waiting."""
        self.socket.settimeout(0.01)
        try:
            data = self.socket.recv(65536)
            self._received += data
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        else:
            return not data
        finally:
            self.socket.settimeout(TIMEOUT_SECONDS)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken


@dataclass(frozen=True, slots=True)
class SieveReply:
    """A ManageSieve reply: OK, NO or BYE, its code without parentheses, its text, and the lines before it."""

    status: str
    code: str
    text: str
    lines: tuple[str, ...]


_REPLY = re.compile(rb"(?i)(OK|NO|BYE)(?: \(([^)]*)\))?(?: (.*))?\r\n", re.DOTALL)
_LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n$")


class ManageSieve(Lines):
    """A ManageSieve client (RFC 5804), as small as tests allow. `capabilities` is what the server said last."""

    def __init__(
        self, address: str, port: int, context: ssl.SSLContext | None = None, *, name: str = "", source: str = ""
    ) -> None:
        super().__init__(address, port, context, name=name, source=source)
        self.capabilities: dict[str, str] = {}
        self.greeting = self._read_capabilities()

    def starttls(self, context: ssl.SSLContext) -> SieveReply:
        """STARTTLS; the server tells its capabilities once more without being asked."""
        reply = self.command("STARTTLS")
        if reply.status == "OK":
            self.start_tls(context)
            self._read_capabilities()
        return reply

    def plain(self, user: str, password: str, authzid: str = "") -> SieveReply:
        """Authenticate by PLAIN with an initial response."""
        response = base64.b64encode(f"{authzid}\0{user}\0{password}".encode()).decode()
        return self.command(f'AUTHENTICATE "PLAIN" "{response}"')

    def put(self, name: str, script: str) -> SieveReply:
        data = script.encode()
        return self.command(f'PUTSCRIPT "{name}" {{{len(data)}+}}\r\n{script}')

    def get(self, name: str) -> str:
        return "".join(self.command(f'GETSCRIPT "{name}"').lines)

    def scripts(self) -> dict[str, bool]:
        """Every script's name, and whether it is the active one."""
        lines = self.command("LISTSCRIPTS").lines
        return {line.split('"')[1]: line.endswith(" ACTIVE") for line in lines}

    def activate(self, name: str) -> SieveReply:
        return self.command(f'SETACTIVE "{name}"')

    def command(self, line: str) -> SieveReply:
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def reply(self) -> SieveReply:
        """The next reply with all lines before it; EOFError when the server closes instead."""
        lines: list[str] = []
        while (match := _REPLY.fullmatch(line := self._line_with_literals())) is None:
            if not line:
                raise EOFError(f"closed after {lines}")
            lines.append(line.decode().removesuffix("\r\n"))
        status, code, text = (part or b"" for part in match.groups())
        return SieveReply(status.decode().upper(), code.decode(), _unquoted(text).decode(), tuple(lines))

    def _read_capabilities(self) -> SieveReply:
        reply = self.reply()
        pairs = [re.findall(r'"([^"]*)"', line) for line in reply.lines]
        self.capabilities = {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs if pair}
        return reply

    def _line_with_literals(self) -> bytes:
        """One line; a literal in it stands there in place of its announcement."""
        line = self.line()
        while announced := _LITERAL.search(line):
            line = line[: announced.start()] + self.exactly(int(announced[1])) + self.line()
        return line


def _unquoted(text: bytes) -> bytes:
    return text[1:-1] if text[:1] == b'"' else text


def imap_tls(address: str, port: int, context: ssl.SSLContext) -> imaplib.IMAP4_SSL:
    """imaplib over implicit TLS."""
    return imaplib.IMAP4_SSL(address, port, ssl_context=context, timeout=TIMEOUT_SECONDS)


def imap_plain(address: str, port: int) -> imaplib.IMAP4:
    """imaplib without TLS, for instance to begin it by STARTTLS."""
    return imaplib.IMAP4(address, port, TIMEOUT_SECONDS)


def pop3_tls(address: str, port: int, context: ssl.SSLContext) -> poplib.POP3_SSL:
    """poplib over implicit TLS."""
    return poplib.POP3_SSL(address, port, context=context, timeout=TIMEOUT_SECONDS)


def pop3_plain(address: str, port: int) -> poplib.POP3:
    """poplib without TLS."""
    return poplib.POP3(address, port, TIMEOUT_SECONDS)


def curl(url: str, user: str, password: str, ca_file: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run curl against a URL such as imaps://…/INBOX."""
    command = [program("curl", "curl"), "--silent", "--show-error", "--max-time", "30", "--cacert", str(ca_file)]
    return subprocess.run(
        [*command, "--user", f"{user}:{password}", *options, url], capture_output=True, check=False, timeout=60
    )


def s_client(
    address: str, port: int, ca_file: Path, typed: bytes, options: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run `openssl s_client` with something typed into it; an error of verification ends it."""
    command = [program("openssl", "openssl"), "s_client", "-connect", f"{address}:{port}", "-CAfile", str(ca_file)]
    return subprocess.run(
        [*command, "-verify_return_error", "-quiet", "-ign_eof", "-crlf", *options],
        input=typed,
        capture_output=True,
        check=False,
        timeout=60,
    )
