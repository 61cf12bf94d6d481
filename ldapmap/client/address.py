"""Where a directory server listens: the `ldap`, `ldaps` and `ldapi` URLs of the settings."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address. `path` is the unix socket of `ldapi`; `host` is also the name its certificate must have."""

    scheme: Literal["ldap", "ldaps", "ldapi"]
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_in_clear(self) -> bool:
        """Whether what is sent can be read on the network, unless StartTLS is used."""
        if self.scheme != "ldap":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    def __str__(self) -> str:
        if self.scheme == "ldapi":
            return f"ldapi://{self.path}"
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_address(url: str) -> Address:
    """Read a server URL. ValueError says what is wrong and how to write it; a base behind the host is refused."""
    try:
        parts = urlsplit(url)
        port = None if parts.scheme == "ldapi" else parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}; write ldap://host or ldaps://host:port") from None
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("only scheme, host and port belong here; base, filter and identity have their own settings")
    if parts.scheme == "ldapi":
        return _unix(parts)
    if parts.scheme == "ldap":
        return Address("ldap", _host(parts), port or 389)
    if parts.scheme == "ldaps":
        return Address("ldaps", _host(parts), port or 636)
    raise ValueError("write ldap://host, ldaps://host or ldapi://%2Fpath%2Fof%2Fsocket")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        valid = bool(host.encode("idna"))
    except UnicodeError:
        valid = False
    if not valid:
        raise ValueError("a host name or address is missing or malformed: write ldap://host")
    return host


def _unix(parts: SplitResult) -> Address:
    path = unquote(parts.netloc)
    if not path.startswith("/"):
        raise ValueError("write the socket's absolute path with %2F for every slash: ldapi://%2Frun%2Fslapd%2Fldapi")
    return Address("ldapi", path=path)
