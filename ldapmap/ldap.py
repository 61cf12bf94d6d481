"""The directory on LDAP servers: a search for the entry, then a simple bind as it."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import NoReturn

from ldapmap.client.deadlines import Deadlines
from ldapmap.client.filters import parse_filter
from ldapmap.client.messages import BaseProbe, SearchTemplate
from ldapmap.client.server import Server, ServerOptions
from ldapmap.client.servers import Servers
from ldapmap.directory import describe_name
from ldapmap.domains import Domains
from ldapmap.entries import Entry, EntryReader, refuse_empty
from ldapmap.errors import AmbiguousUser, UnknownUser
from ldapmap.meters import NO_METERS, Meters
from ldapmap.names import canonical
from ldapmap.settings import DirectorySettings, ServerSettings
from ldapmap.status import DirectoryStatus
from ldapmap.targets import read_identity, target_for


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
        self._targets = [(target_for(server.url, settings, context), server) for server in settings.ordered_servers]
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
        found = await (self._servers or _not_started()).search(template, key)
        if len(found) > 1:
            raise AmbiguousUser(f"{found[0].dn!r} and {found[1].dn!r} have the same name")
        if not found:
            raise UnknownUser("no entry has this name")
        return self._reader.read(found[0].dn, found[0].attributes).at(place)

    async def verify(self, entry: Entry, password: bytes) -> None:
        refuse_empty(entry, password)
        await (self._servers or _not_started()).bind(entry.dn.encode(), password)

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


def _not_started() -> NoReturn:
    raise AssertionError("start() comes first")  # a mistake in our own code


def _template(settings: DirectorySettings, base: str, wanted: Sequence[str]) -> SearchTemplate:
    names = (settings.attributes.user, *settings.attributes.aliases)
    return SearchTemplate(base, settings.scope, names, parse_filter(settings.filter), wanted)
