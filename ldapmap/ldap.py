"""The directory on LDAP servers: a search for the entry, then a simple bind as it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

from ldapmap.address import parse_address
from ldapmap.connection import Identity, Target
from ldapmap.deadlines import Deadlines
from ldapmap.directory import describe_name
from ldapmap.domains import Domains
from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import AmbiguousUser, UnknownUser
from ldapmap.filters import parse_filter
from ldapmap.messages import BaseProbe, SearchTemplate
from ldapmap.meters import NO_METERS, Meters
from ldapmap.names import canonical
from ldapmap.server import Server, ServerOptions
from ldapmap.servers import Servers
from ldapmap.settings import DirectorySettings, ServerSettings
from ldapmap.status import DirectoryStatus


class LdapDirectory:
    """A `Directory` on LDAP servers. Made anywhere; started, used and closed in one event loop.

    The constructor raises ValueError for settings that `DirectorySettings.faults` would refuse or for TLS without a
    context, and OSError when the password of the service identity cannot be read: it is read once, here.
    """

    def __init__(self, settings: DirectorySettings, context: ssl.SSLContext | None, meters: Meters = NO_METERS) -> None:
        self._settings = settings
        self._meters = meters
        self._reader = EntryReader(settings)
        self._domains = Domains(settings)
        self._templates = [_template(settings, base, self._reader.wanted) for base in self._domains.bases]
        self._identity = read_identity(settings)
        self._targets = [(_target(server.url, settings, context), server) for server in settings.ordered_servers]
        self._servers: Servers | None = None
        self._deadlines: Deadlines | None = None

    @property
    def healthy(self) -> bool:
        return self._servers is not None and self._servers.healthy

    async def start(self) -> None:
        settings = self._settings
        self._deadlines = deadlines = Deadlines(settings.operation_timeout)
        servers = [Server(target, self._options(server), deadlines) for target, server in self._targets]
        self._servers = Servers(servers, BaseProbe(settings.base))
        await self._servers.start()

    async def find(self, login_name: str, *, fresh: bool = False) -> Entry:
        return await self.look_up(canonical(login_name, self._settings.names))

    async def look_up(self, name: str) -> Entry:
        place, name = self._domains.place(name)
        template, key = self._templates[place.number], name.encode()
        found = await self._started().search(template, key)
        if len(found) > 1:
            raise AmbiguousUser(f"{found[0].dn!r} and {found[1].dn!r} have the same name")
        if not found:
            raise UnknownUser("no entry has this name")
        return self._reader.read(found[0].dn, found[0].attributes).at(place)

    async def verify(self, entry: Entry, password: bytes) -> None:
        refuse_empty(entry, password)
        await self._started().bind(entry.dn.encode(), password)

    def describe(self, login_name: str) -> list[tuple[str, str]]:
        servers = ", ".join(server.url for server in self._settings.ordered_servers)
        return [*describe_name(login_name, self._settings, self._domains), ("servers", servers)]

    def status(self) -> DirectoryStatus:
        return self._servers.status() if self._servers is not None else DirectoryStatus(servers=())

    async def close(self) -> None:
        if self._servers is not None and self._deadlines is not None:
            await self._servers.close()
            self._deadlines.close()

    def _options(self, server: ServerSettings) -> ServerOptions:
        settings = self._settings
        return ServerOptions(
            identity=self._identity,
            bind_connections=settings.bind_connections,
            longest_pause=settings.server_retry,
            queue_time=settings.queue_time,
            meters=self._meters,
            priority=server.priority,
            weight=server.weight,
        )

    def _started(self) -> Servers:
        assert self._servers is not None, "start() comes first"  # noqa: S101 (a mistake in our own code)
        return self._servers


def _template(settings: DirectorySettings, base: str, wanted: Sequence[str]) -> SearchTemplate:
    names = (settings.attributes.user, *settings.attributes.aliases)
    return SearchTemplate(base, settings.scope, names, parse_filter(settings.filter), wanted)


def read_identity(settings: DirectorySettings) -> Identity | None:
    """The service identity, its password read from the file; None: search anonymously."""
    if not settings.bind_dn:
        return None
    if settings.bind_password_file is None:
        raise ValueError("bind_dn needs bind_password_file")
    password = read_password(settings.bind_password_file)
    return Identity(settings.bind_dn.encode(), password)


def read_password(path: Path) -> bytes:
    """The file's contents without one line break at the end. Raises OSError, or ValueError for an empty one."""
    password = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    if not password:
        raise ValueError(f"{path} is empty: a bind without a password would be anonymous")
    return password


def _target(url: str, settings: DirectorySettings, context: ssl.SSLContext | None) -> Target:
    address = parse_address(url)
    needs_tls = address.scheme == "ldaps" or settings.starttls
    if needs_tls and context is None:
        raise ValueError(f"{url} needs a TLS context")
    return Target(
        address=address,
        context=context if needs_tls else None,
        starttls=settings.starttls,
        connect_timeout=settings.connect_timeout,
        message_limit=settings.message_limit,
        search_outstanding=settings.search_outstanding,
        queue_limit=settings.queue_limit,
    )
