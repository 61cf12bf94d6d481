"""Where the mail is: a lease from the director, a login at the backend it names, and another try where one may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from director import Client, DirectorError, Lease, Limited
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


class _TakenBack(Exception):
    """The director wants the lease back before the login has come to its end."""


class Route:
    """One session's way to a backend, and its lease there; `session` is told when the director takes that back.

    Whoever is told passes it on by `kicked` for as long as the login is under way.
    """

    __slots__ = (
        "_attempt",
        "_backends",
        "_director",
        "_meters",
        "_protocol",
        "_record",
        "_session",
        "_settings",
        "lease",
    )

    def __init__(
        self,
        settings: Settings,
        director: Client,
        backends: Backends,
        protocol: ProtocolName,
        meters: Meters,
        record: Record,
        session: Callable[[str, bool], None],
    ) -> None:
        self._settings = settings
        self._director = director
        self._backends = backends
        self._protocol: ProtocolName = protocol
        self._meters = meters
        self._record = record
        self._session = session
        self._attempt: asyncio.Timeout | None = None
        self.lease: Lease | None = None

    def kicked(self) -> None:
        """The director has taken the lease back: what is under way at that backend ends at once."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.reschedule(0.0)  # a time that has passed

    async def reach(self, entry: Entry, order: Order, ends: Ends, until: float) -> Link:
        """A login at the backend the director names; what may pass is tried again while there is time.

        Raises `Failure` of the last try. The lease is held when this returns, and not when it raises. A try that ends
        because the director takes the lease back is none: the client has heard nothing, and waits for the next.
        """
        timeouts, failed = self._settings.timeouts, ""
        left = timeouts.retries
        while True:
            lease = await self._assign(entry, failed)
            pause = timeouts.retry_pause if lease.backend.name == failed else 0.0
            failed = ""
            try:
                return await self._attempt_at(lease, order, ends, until, pause)
            except _TakenBack:
                self.give_back()
                if self._backends.now() >= until:
                    raise Failure(Kind.NO_BACKEND, lease.kicked) from None
            except Failure as failure:
                self.give_back()
                late = self._backends.now() + timeouts.retry_pause >= until
                if failure.kind not in RETRYABLE or not left or late:
                    raise
                left -= 1
                failed = lease.backend.name

    def give_back(self) -> None:
        """Release the lease, if there is one."""
        lease, self.lease = self.lease, None
        if lease is not None:
            self._director.release(lease)

    async def _assign(self, entry: Entry, failed: str) -> Lease:
        record = self._record
        try:
            lease = await self._director.assign(
                entry.user,
                entry.shard,
                entry.preferred,
                address=record.client[0],
                protocol=self._protocol,
                session=record.session,
                failed=failed,
                on_kick=self._session,
            )
        except Limited as error:
            raise Failure(Kind.LIMIT, str(error)) from None
        except DirectorError as error:
            raise Failure(Kind.NO_BACKEND, str(error)) from None
        self.lease = lease
        record.shard, record.backend = lease.shard, lease.backend.name
        return lease

    async def _attempt_at(self, lease: Lease, order: Order, ends: Ends, until: float, pause: float) -> Link:
        """One try, after a pause; raises _TakenBack as soon as the director wants the lease back."""
        try:
            async with asyncio.timeout(None) as self._attempt:
                if lease.kicked:  # before it had come to us
                    raise _TakenBack
                if pause:
                    await asyncio.sleep(pause)
                link = await self._log_in(lease, order, ends, until)
        except TimeoutError:
            raise _TakenBack from None
        finally:
            self._attempt = None
        if lease.kicked:  # while the last answer came: the user may have sessions elsewhere by now
            link.channel.close()
            raise _TakenBack
        self._director.report(lease, "login", ok=True)
        return link

    async def _log_in(self, lease: Lease, order: Order, ends: Ends, until: float) -> Link:
        began, backend = self._backends.now(), lease.backend
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
            if failure.kind in UNHEALTHY:
                self._director.report(lease, "login" if greeted else "connect", ok=False)
            raise
        self._record.passed("backend_login", began)
        self._meters.backend_login(backend.name, "ok")
        if order.origin is not None and not link.forwarded:
            self._meters.untrusted(backend.name)
        return link


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
