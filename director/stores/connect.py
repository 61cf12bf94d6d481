"""Where a Redis or Valkey is, and a client for it: one server, whichever server Sentinel says, or a Cluster."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.credentials import CredentialProvider

Client: TypeAlias = "Redis | RedisCluster"

_SCHEME: Final = re.compile(r"(rediss?)(\+sentinel|\+cluster)?")
_SERVER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9:._-]{1,64}")
_PORT: Final = {"": 6379, "+sentinel": 26379, "+cluster": 6379}
_FORMS: Final = (
    "use redis://host:port/0, redis+sentinel://host,host/service or redis+cluster://host,host; with rediss for TLS"
)

_CLUSTER_ATTEMPTS: Final = 1
_CLUSTER_PAUSE: Final = 0.02
"""A slot that has just moved is asked for again, all within the deadline (s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """A Redis or Valkey that the nodes share."""

    url: str = field(metadata={"doc": f"Where it is: {_FORMS}."})
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
        try:
            place(self.url)
        except ValueError as error:
            yield "url", str(error)
        if not _PREFIX.fullmatch(self.prefix):
            yield "prefix", f"{self.prefix!r} is no prefix; use up to 64 letters, digits and : . _ -"
        if self.username and self.password_file is None:
            yield "password_file", "is missing; a user needs a password"
        if (self.certificate is None) != (self.key is None):
            yield "key" if self.key is None else "certificate", "is missing; a certificate and its key go together"


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


def connect(settings: RedisSettings) -> Client:
    """Return a client that connects when it is first used; it says everything in bytes and gives up early."""
    where, options = place(settings.url), _options(settings)
    if where.kind == "+cluster":
        nodes = [ClusterNode(host, port) for host, port in where.servers]
        retry = Retry(ConstantBackoff(_CLUSTER_PAUSE), _CLUSTER_ATTEMPTS)
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options | {"retry": retry})
    options["db"] = where.database
    if where.kind == "+sentinel":
        # Several are asked one after the other, and one that hangs must not use up the whole time.
        timeout = settings.deadline / (len(where.servers) + 1)
        asked = _tls(settings) | {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": _once()}
        sentinel = Sentinel(where.servers, sentinel_kwargs=asked, **options)  # type: ignore[no-untyped-call]
        client: Redis = sentinel.master_for(where.service)
        return client
    ((host, port),) = where.servers
    return Redis(host=host, port=port, **options)


def connect_to_one(settings: RedisSettings, host: str, port: int) -> Redis:
    """Return a client for one server of a cluster, for what is the same on all of them."""
    return Redis(host=host, port=port, **_options(settings))


def _server(text: str, port: int) -> tuple[str, int]:
    found = _SERVER.fullmatch(text)
    if found is None or not 0 < int(found[3] or port) < 65536:
        raise ValueError(f"has a server that is no host and port; {_FORMS}")
    return found[1] or found[2], int(found[3] or port)


def _options(settings: RedisSettings) -> dict[str, Any]:
    """What every connection has. Questions have no deadline here: the store's is for all of an attempt, and costs
    less."""
    options: dict[str, Any] = _tls(settings) | {
        "socket_timeout": None,
        "socket_connect_timeout": settings.deadline,
        "retry": _once(),
        "protocol": 3,
    }
    if settings.password_file is not None:
        options["credential_provider"] = _PasswordFile(settings.username, settings.password_file)
    return options


def _tls(settings: RedisSettings) -> dict[str, Any]:
    if not place(settings.url).tls:
        return {}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": settings.ca_file and str(settings.ca_file),
        "ssl_certfile": settings.certificate and str(settings.certificate),
        "ssl_keyfile": settings.key and str(settings.key),
    }


def _once() -> Retry:
    return Retry(NoBackoff(), 0)


class _PasswordFile(CredentialProvider):
    """Reads the password when a connection needs it, and keeps it nowhere."""

    def __init__(self, username: str, path: Path) -> None:
        self._username = username
        self._path = path

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._path.read_text().rstrip("\r\n")
        return (self._username, password) if self._username else (password,)
