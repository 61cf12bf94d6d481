"""Where the mail is: a lease from the director, a login at the backend it names, and another try where one may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from director import BACKEND_DOWN, Backend, Director, DirectorError, Lease
from ldapmap import Entry
from proxy.backends import Backends, Ends, Link
from proxy.meters import Meters
from proxy.protocols.credentials import Credentials
from proxy.protocols.failures import RETRYABLE, UNHEALTHY, Failure, Kind
from proxy.protocols.login import Order
from proxy.protocols.origin import Origin
from proxy.recognition import Recognised
from proxy.record import Record
from proxy.sections import BackendLoginSettings
from proxy.settings import ProtocolName, Settings


class Route:
    """One session's way to a backend, and its lease there; `revoke` is called when the director takes that back."""

    __slots__ = (
        "_backends",
        "_director",
        "_meters",
        "_protocol",
        "_record",
        "_revoke",
        "_revoked_for",
        "_settings",
        "lease",
    )

    def __init__(
        self,
        settings: Settings,
        director: Director,
        backends: Backends,
        protocol: ProtocolName,
        meters: Meters,
        record: Record,
        revoke: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._director = director
        self._backends = backends
        self._protocol: ProtocolName = protocol
        self._meters = meters
        self._record = record
        self._revoke = revoke
        self._revoked_for = ""
        self.lease: Lease | None = None

    def revoked(self, reason: str) -> None:
        """The director has taken the lease back; a login under way finds out when it comes to its end."""
        self._revoked_for = reason

    async def reach(self, entry: Entry, order: Order, ends: Ends, until: float) -> Link:
        """A login at the backend the director names; what may pass is tried again while there is time.

        Raises `Failure` of the last try. The lease is held when this returns, and not when it raises.
        """
        timeouts, failed = self._settings.timeouts, None
        for left in range(timeouts.retries, -1, -1):
            lease = await self._assign(entry)
            try:
                if lease.backend == failed:
                    await asyncio.sleep(timeouts.retry_pause)
                return await self._log_in(lease.backend, order, ends, until)
            except Failure as failure:
                self.give_back(failure)
                late = self._backends.now() + timeouts.retry_pause >= until
                if failure.kind not in RETRYABLE or not left or late:
                    raise
                failed = lease.backend
        raise AssertionError("the last try returns or raises")

    def give_back(self, failure: Failure | None = None) -> None:
        """Release the lease; a failure that a healthy backend would not have had is told to the director."""
        lease, self.lease = self.lease, None
        if lease is None:
            return
        self._director.release(lease)
        if failure is not None and failure.kind in UNHEALTHY:
            self._director.report_failure(lease)

    async def _assign(self, entry: Entry) -> Lease:
        try:
            lease = await self._director.assign(entry.user, entry.shard, entry.preferred, self._revoke)
        except DirectorError as error:
            raise Failure(Kind.NO_BACKEND, str(error)) from None
        self.lease, self._revoked_for = lease, ""
        self._record.shard, self._record.backend = lease.shard, lease.backend.name
        return lease

    async def _log_in(self, backend: Backend, order: Order, ends: Ends, until: float) -> Link:
        began = self._backends.now()
        greeted = False

        def connected() -> None:
            nonlocal began, greeted
            began, greeted = self._record.passed("backend_connect", began), True
            self._meters.backend_connect(backend.name, "ok")

        try:
            link = await self._backends.log_in(self._protocol, backend, order, ends, until=until, connected=connected)
        except Failure as failure:
            count = self._meters.backend_login if greeted else self._meters.backend_connect
            count(backend.name, failure.kind.value)
            raise
        self._record.passed("backend_login", began)
        self._meters.backend_login(backend.name, "ok")
        if order.origin is not None and not link.forwarded:
            self._meters.untrusted(backend.name)
        self._confirm(link)
        return link

    def _confirm(self, link: Link) -> None:
        """The lease must still be ours: otherwise the user may have sessions elsewhere by now."""
        if self._revoked_for:
            link.channel.close()
            kind = Kind.BACKEND_CONNECT if self._revoked_for == BACKEND_DOWN else Kind.NO_BACKEND
            raise Failure(kind, self._revoked_for)
        if self.lease is not None:
            self._director.report_success(self.lease)


def order(recognised: Recognised, credentials: Credentials, login: BackendLoginSettings, origin: Origin) -> Order:
    """How the backend is told for whom the session is: with what the client gave, or as our own master user.

    A token goes on as it came, whatever the mode: only the backend can judge it.
    """
    name = recognised.user.login or recognised.user.user
    told = origin if login.forward_client else None
    if credentials.is_token:
        return Order(name, credentials.secret, credentials.mechanism, origin=told)
    if login.mode == "password":
        master = "" if recognised.user.user == recognised.by.user else recognised.by.login or recognised.by.user
        return Order(name, credentials.secret, master=master, origin=told)
    if not recognised.verified:
        raise Failure(Kind.OWN_CONFIG, "a master user would log in for somebody whose password nobody has judged")
    if login.master_password is None:
        raise Failure(Kind.OWN_CONFIG, "no master password")
    if login.master_form == "separator":
        return Order(f"{name}{login.master_separator}{login.master_user}", login.master_password, origin=told)
    return Order(name, login.master_password, master=login.master_user, origin=told)
