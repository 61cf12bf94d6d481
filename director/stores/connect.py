"""A client for a Redis or Valkey: one server, whichever server Sentinel says, or a Cluster."""

from pathlib import Path
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.credentials import CredentialProvider

from director.stores.settings import RedisSettings, place

Client: TypeAlias = "Redis | RedisCluster"

_CLUSTER_ATTEMPTS: Final = 1
_CLUSTER_PAUSE: Final = 0.02
"""A slot that has just moved is asked for again, all within the deadline (s)."""


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
