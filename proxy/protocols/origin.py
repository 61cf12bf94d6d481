"""Where a client really is, as one proxy tells the next: IMAP ID fields and POP3/ManageSieve XCLIENT attributes.

Values are parsed and written again from values; nothing is copied through as text. `x-multiplex` is never sent: a
Dovecot 2.4 backend would answer it by changing the framing of the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

#: Dovecot takes session ids of these characters and up to 64 of them, and silently uses its own otherwise.
_SESSION = re.compile(r"[A-Za-z0-9+/=]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,5}", re.ASCII)


class Origin(NamedTuple):
    """What a backend is told about a session: both ends of the client's connection, the session id, the hops left."""

    address: str
    port: int
    local_address: str
    local_port: int
    session: str
    ttl: int
    tls: bool

    def imap_id(self) -> bytes:
        """The parenthesised list of an IMAP ID command, in the keys Dovecot reads from a trusted peer."""
        return (
            f'("x-session-id" "{self.session}" "x-originating-ip" "{self.address}" "x-originating-port" "{self.port}"'
            f' "x-connected-ip" "{self.local_address}" "x-connected-port" "{self.local_port}"'
            f' "x-proxy-ttl" "{self.ttl}" "x-client-transport" "{self._transport}")'
        ).encode()

    def xclient(self) -> bytes:
        """The attributes of an XCLIENT command, in the names Dovecot reads from a trusted peer."""
        return (
            f"ADDR={self.address} PORT={self.port} SESSION={self.session} TTL={self.ttl}"
            f" CLIENT-TRANSPORT={self._transport} DESTADDR={self.local_address} DESTPORT={self.local_port}"
        ).encode()

    @property
    def _transport(self) -> str:
        return "TLS" if self.tls else "insecure"


@dataclass(frozen=True, slots=True)
class Hop:
    """What a trusted proxy in front of us said of the client; whatever it left out or wrote wrongly is None."""

    address: str | None = None
    port: int | None = None
    session: str | None = None
    ttl: int | None = None

    @classmethod
    def from_id(cls, pairs: Mapping[str, str]) -> Hop:
        """From the `x-*` pairs of an IMAP ID command, keys in lower case."""
        return cls._parse(pairs, "x-originating-ip", "x-originating-port", "x-session-id", "x-proxy-ttl")

    @classmethod
    def from_xclient(cls, arguments: str) -> Hop:
        """From the arguments of an XCLIENT command; the last of a repeated attribute counts."""
        split = (word.partition("=") for word in arguments.split(" "))
        return cls._parse({key.upper(): value for key, _, value in split}, "ADDR", "PORT", "SESSION", "TTL")

    @classmethod
    def _parse(cls, said: Mapping[str, str], address: str, port: str, session: str, ttl: str) -> Hop:
        return cls(
            _address(said.get(address, "")),
            _number(said.get(port, ""), 65535),
            said[session] if _SESSION.fullmatch(said.get(session, "")) else None,
            _number(said.get(ttl, ""), 255),
        )


def plain(address: IPv4Address | IPv6Address) -> str:
    """The address as text; one of IPv4 that came mapped into IPv6 is written as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _address(text: str) -> str | None:
    try:
        return plain(ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


def _number(text: str, largest: int) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if int(text) <= largest else None
