"""Where a Redis or Valkey is, as the operator writes it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

_SCHEME: Final = re.compile(r"(rediss?)(\+sentinel|\+cluster)?")
_SERVER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9:._-]{1,64}")
_PORT: Final = {"": 6379, "+sentinel": 26379, "+cluster": 6379}
_FORMS: Final = (
    "use redis://host:port/0, redis+sentinel://host,host/service or redis+cluster://host,host; with rediss for TLS"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """A Redis or Valkey that the nodes share."""

    url: str = field(default="", metadata={"key": False})
    username: str = field(default="", metadata={"doc": "ACL user; empty for the default user."})
    password_file: Path | None = field(
        default=None, metadata={"doc": "File with the password; read at each connection, so a new one is found."}
    )
    ca_file: Path | None = field(
        default=None, metadata={"doc": "Certificates that the server's must come from; else the system's."}
    )
    certificate: Path | None = field(default=None, metadata={"doc": "Our own certificate, where the server wants one."})
    key: Path | None = field(default=None, metadata={"doc": "The key of our own certificate."})
    prefix: str = field(default="vestibule", metadata={"doc": "All keys begin with this; nodes share what has it."})
    deadline: float = field(
        default=1.0,
        metadata={
            "doc": "Longest wait for an answer before the store counts as away.",
            "unit": "s",
            "min": 0.05,
            "max": 60,
        },
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the key and what is wrong with it."""
        if not _PREFIX.fullmatch(self.prefix):
            yield "prefix", f"{self.prefix!r} is no prefix; use up to 64 letters, digits and : . _ -"
        if self.username and self.password_file is None:
            yield "password_file", "is missing; a user needs a password"
        if (self.certificate is None) != (self.key is None):
            yield "key" if self.key is None else "certificate", "is missing; a certificate and its key go together"


def address_faults(url: str) -> Iterator[str]:
    """Yield what is wrong with the address of a store."""
    try:
        place(url)
    except ValueError as error:
        yield str(error)


class Place(NamedTuple):
    """What a URL says: `service` only for Sentinel, `database` never for a Cluster."""

    kind: Literal["", "+sentinel", "+cluster"]
    tls: bool
    servers: tuple[tuple[str, int], ...]
    service: str
    database: int


def place(url: str) -> Place:
    """Read a URL. Raises ValueError, which does not repeat what may be a password."""
    parts = urlsplit(url)
    scheme = _SCHEME.fullmatch(parts.scheme)
    if scheme is None or parts.query or parts.fragment:
        raise ValueError(f"is no address of a store; {_FORMS}")
    if "@" in parts.netloc:
        raise ValueError("has a password or user in it; use password_file and username")
    kind: Any = scheme[2] or ""
    servers = tuple(_server(text, _PORT[kind]) for text in parts.netloc.split(","))
    path = parts.path.strip("/")
    service, _, number = path.partition("/") if kind == "+sentinel" else ("", "", path)
    if not re.fullmatch(r"[0-9]{0,5}", number) or bool(service) != (kind == "+sentinel"):
        raise ValueError(f"has a path that says nothing; {_FORMS}")
    if (kind == "" and len(servers) > 1) or (kind == "+cluster" and number):
        raise ValueError(f"has several servers, or a database of a cluster; {_FORMS}")
    return Place(kind, scheme[1] == "rediss", servers, service, int(number or 0))


def _server(text: str, port: int) -> tuple[str, int]:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[3] or port) < 65536:
        raise ValueError(f"has a server that is no host and port; {_FORMS}")
    return found[1] or found[2], int(found[3] or port)
