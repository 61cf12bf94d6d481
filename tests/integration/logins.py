"""Logins in all three protocols alike, for tests that are not about one of them."""

from __future__ import annotations

import base64
import ssl

from .clients import Lines
from .site import Site, User
from .vestibule import Vestibule

PROTOCOLS = ("imap", "pop3", "managesieve")

IMPLICIT = {"imap": "imaps", "pop3": "pop3s", "managesieve": "sieves"}
"""Each protocol's listener with implicit TLS."""

STARTTLS = {"imap": "imap", "pop3": "pop3", "managesieve": "sieve"}
"""Each protocol's listener with STARTTLS."""

ACCEPTED = {"imap": b"a OK", "pop3": b"+OK", "managesieve": b"OK"}
"""How the reply to a successful login begins."""

UNAVAILABLE = {"imap": b"a NO [UNAVAILABLE]", "pop3": b"-ERR [SYS/TEMP]", "managesieve": b"NO (TRYLATER)"}
"""How the reply begins when something is down and the client should come back later."""

NO_OPERATION = {"imap": b"n NOOP\r\n", "pop3": b"NOOP\r\n", "managesieve": b"NOOP\r\n"}

_GREETINGS_END = {"imap": b"* ", "pop3": b"+OK", "managesieve": b"OK"}


class Session(Lines):
    """A client's conversation in any of the protocols; the greeting has been read."""

    def __init__(
        self, protocol: str, address: str, port: int, context: ssl.SSLContext | None = None, source: str = ""
    ) -> None:
        super().__init__(address, port, context, source=source)
        self.protocol = protocol
        self.greeting = self.until(_GREETINGS_END[protocol])

    def plain(self, user: str, password: str, authzid: str = "") -> bytes:
        """Authenticate by PLAIN with an initial response; the line that answers."""
        return self.sasl("PLAIN", f"{authzid}\0{user}\0{password}".encode())

    def sasl(self, mechanism: str, message: bytes) -> bytes:
        """Authenticate with an initial response (possibly empty); the line that answers."""
        response = base64.b64encode(message).decode()
        line = {
            "imap": f"a AUTHENTICATE {mechanism} {response or '='}",
            "pop3": f"AUTH {mechanism} {response or '='}",
            "managesieve": f'AUTHENTICATE "{mechanism}" "{response}"',
        }[self.protocol]
        self.send(line.encode() + b"\r\n")
        return self.answer()

    def answer(self) -> bytes:
        """The line that ends the reply to a command with the tag a, or a challenge."""
        while line := self.line():
            if self.protocol == "pop3" or line.startswith((b"a ", b"+ ", b"OK", b"NO", b"BYE", b'"')):
                return line
        return b""

    def alive(self) -> bool:
        """Whether the session still answers."""
        try:
            self.send(NO_OPERATION[self.protocol])
            return b"OK" in self.line()
        except OSError:
            return False


def enter(daemon: Vestibule, site: Site, protocol: str = "imap", source: str = "") -> Session:
    """A conversation with the daemon over implicit TLS, before the login."""
    return Session(protocol, daemon.address, daemon.ports[IMPLICIT[protocol]], site.trusting(), source)


def logged_in(daemon: Vestibule, site: Site, user: User, protocol: str = "imap", source: str = "") -> Session:
    """A session of `user`, over implicit TLS."""
    session = enter(daemon, site, protocol, source)
    answer = session.plain(user.name, user.password)
    assert answer.startswith(ACCEPTED[protocol]), answer
    return session


def answer_to(daemon: Vestibule, site: Site, user: User, protocol: str = "imap", source: str = "") -> bytes:
    """What a login is answered with, over a connection of its own."""
    with enter(daemon, site, protocol, source) as session:
        return session.plain(user.name, user.password)
