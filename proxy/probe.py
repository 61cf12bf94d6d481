"""Asks a backend whether it is there, speaks the protocol and TLS as configured, and what it offers.

Blocking, with a deadline for each answer, and without a login: no password is ever sent.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.sections import ProtocolName, TlsMode

LONGEST_LINE = 8192
MOST_LINES = 200

PROXY_V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""A PROXY header for a connection the proxy makes for itself (HAProxy's proxy-protocol.txt, section 2.2)."""


class ProbeFailure(Exception):
    """The backend cannot be used as configured; the text says what happened and what to look at."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask, and how."""

    host: str
    port: int
    protocol: ProtocolName
    tls: TlsMode
    proxy_header: bool = False
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Offered:
    """What a backend offers when TLS is as configured: its words in upper case, and the TLS version, if any."""

    words: frozenset[str]
    tls: str

    @property
    def forwards_client(self) -> bool:
        """Whether it takes the client's address by ID or XCLIENT."""
        return bool({"ID", "XCLIENT"} & self.words)

    @property
    def takes_passwords(self) -> bool:
        """Whether it lets a password be sent as the connection stands."""
        return "LOGINDISABLED" not in self.words


def probe(target: Target, context: ssl.SSLContext) -> Offered:
    """Connects, reads the greeting, starts TLS as configured and asks for capabilities; raises ProbeFailure."""
    try:
        with socket.create_connection((target.host, target.port), target.timeout) as connection:
            return _converse(target, context, connection)
    except ssl.SSLCertVerificationError as error:
        raise ProbeFailure(
            f"its certificate is not accepted: {error.verify_message}; look at ca_file and at the name {target.host}"
        ) from None
    except ssl.SSLError as error:
        raise ProbeFailure(f'no TLS: {error.reason or error}; look at the port and at tls = "{target.tls}"') from None
    except TimeoutError:
        raise ProbeFailure(f"no answer within {target.timeout:g} s") from None
    except OSError as error:
        raise ProbeFailure(f"cannot be reached: {error.strerror or error}") from None


def _converse(target: Target, context: ssl.SSLContext, connection: socket.socket) -> Offered:
    if target.proxy_header:
        connection.sendall(PROXY_V2_LOCAL)
    speech = _SPEECHES[target.protocol]
    if target.tls == "implicit":
        connection = context.wrap_socket(connection, server_hostname=target.host)
    talk = _Talk(connection, target.timeout)
    words = speech.greeting(talk)
    if target.tls == "starttls":
        words = speech.start_tls(talk, words)
        connection = context.wrap_socket(connection, server_hostname=target.host)
        talk = _Talk(connection, target.timeout)
    words = words | speech.capabilities(talk, target.tls == "starttls")
    version = connection.version() if isinstance(connection, ssl.SSLSocket) else None
    _say_goodbye(talk)
    return Offered(frozenset(words), version or "")


def _say_goodbye(talk: _Talk) -> None:
    talk.send(b"z LOGOUT")  # POP3 and ManageSieve end by the close that follows


class _Talk:
    """Lines to and from a backend, bounded in length, number and time."""

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._received = b""

    def send(self, line: bytes) -> None:
        self._connection.sendall(line + b"\r\n")

    def line(self) -> str:
        """The next line without its end; what is not ASCII is replaced."""
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._received:
            self._receive(deadline)
        line, _, self._received = self._received.partition(b"\n")
        return line.rstrip(b"\r").decode("ascii", "replace")

    def lines_until(self, is_last: Callable[[str], bool]) -> list[str]:
        """The lines up to and including the last of an answer."""
        lines = [self.line()]
        while not is_last(lines[-1]):
            if len(lines) >= MOST_LINES:
                raise ProbeFailure(f"more than {MOST_LINES} lines in one answer")
            lines.append(self.line())
        return lines

    def _receive(self, deadline: float) -> None:
        if len(self._received) > LONGEST_LINE:
            raise ProbeFailure(f"a line of more than {LONGEST_LINE} bytes")
        self._connection.settimeout(max(0.001, deadline - time.monotonic()))
        data = self._connection.recv(4096)
        if not data:
            raise ProbeFailure("it closed the connection; look at its log, and at the port")
        self._received += data


@dataclass(frozen=True, slots=True)
class _Speech:
    """How one protocol greets, starts TLS and tells what it offers."""

    greeting: Callable[[_Talk], set[str]]
    start_tls: Callable[[_Talk, set[str]], set[str]]
    """Takes what was offered so far, and returns what of it still counts afterwards."""
    capabilities: Callable[[_Talk, bool], set[str]]


def _words(text: str) -> set[str]:
    return {word.strip('"()[]').upper() for word in text.split()} - {""}


def _unexpected(wanted: str, line: str) -> ProbeFailure:
    return ProbeFailure(f"it does not speak {wanted} at this port: it said {line[:60]!r}")


def _starttls_missing(command: str) -> ProbeFailure:
    return ProbeFailure(
        f'it does not offer {command}; switch TLS on at the backend, or set tls = "implicit" in [backend_login]'
    )


def _imap_greeting(talk: _Talk) -> set[str]:
    line = talk.line()
    if not line.upper().startswith("* OK"):
        raise _unexpected("IMAP", line)
    return set()


def _imap_capabilities(talk: _Talk, _after_starttls: bool) -> set[str]:
    talk.send(b"c CAPABILITY")
    lines = talk.lines_until(lambda line: line.startswith("c "))
    return {word for line in lines if line.upper().startswith("* CAPABILITY ") for word in _words(line[13:])}


def _imap_start_tls(talk: _Talk, _words: set[str]) -> set[str]:
    if "STARTTLS" not in _imap_capabilities(talk, False):
        raise _starttls_missing("STARTTLS")
    talk.send(b"s STARTTLS")
    answer = talk.lines_until(lambda line: line.startswith("s "))[-1]
    if not answer.upper().startswith("S OK"):
        raise ProbeFailure(f"it refused STARTTLS: {answer[:60]!r}")
    return set()


def _pop3_greeting(talk: _Talk) -> set[str]:
    line = talk.line()
    if not line.startswith("+OK"):
        raise _unexpected("POP3", line)
    return {"XCLIENT"} if "[XCLIENT]" in line.upper() else set()


def _pop3_capabilities(talk: _Talk, _after_starttls: bool) -> set[str]:
    talk.send(b"CAPA")
    lines = talk.lines_until(lambda line: line == "." or line.startswith("-ERR"))
    words = {word for line in lines[1:-1] for word in _words(line)}
    return words if words & {"USER", "SASL"} else words | {"LOGINDISABLED"}


def _pop3_start_tls(talk: _Talk, words: set[str]) -> set[str]:
    if "STLS" not in _pop3_capabilities(talk, False):
        raise _starttls_missing("STLS")
    talk.send(b"STLS")
    answer = talk.line()
    if not answer.startswith("+OK"):
        raise ProbeFailure(f"it refused STLS: {answer[:60]!r}")
    return words  # XCLIENT is offered in the greeting, and there is none after STLS


def _is_sieve_end(line: str) -> bool:
    return line.upper().startswith(("OK", "NO", "BYE"))


def _sieve_block(talk: _Talk) -> set[str]:
    lines = talk.lines_until(lambda line: _is_sieve_end(line) or not line.startswith('"'))
    if not lines[-1].upper().startswith("OK"):
        raise _unexpected("ManageSieve", lines[-1])
    words = {word for line in lines[:-1] for word in _words(line)}
    return (
        words
        if any(line.upper().startswith('"SASL" "') and len(line) > 9 for line in lines)
        else words | {"LOGINDISABLED"}
    )


def _sieve_capabilities(talk: _Talk, after_starttls: bool) -> set[str]:
    if not after_starttls:  # RFC 5804 section 2.2: sent unasked after STARTTLS
        talk.send(b"CAPABILITY")
    return _sieve_block(talk)


def _sieve_start_tls(talk: _Talk, words: set[str]) -> set[str]:
    if "STARTTLS" not in words:
        raise _starttls_missing("STARTTLS")
    talk.send(b"STARTTLS")
    answer = talk.line()
    if not answer.upper().startswith("OK"):
        raise ProbeFailure(f"it refused STARTTLS: {answer[:60]!r}")
    return set()


_SPEECHES: Mapping[ProtocolName, _Speech] = {
    "imap": _Speech(_imap_greeting, _imap_start_tls, _imap_capabilities),
    "pop3": _Speech(_pop3_greeting, _pop3_start_tls, _pop3_capabilities),
    "managesieve": _Speech(_sieve_block, _sieve_start_tls, _sieve_capabilities),
}
