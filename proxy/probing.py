"""Whether a backend is well: asked by the very code that logs users in, as far as `[director.health]` says."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from director import Backend
from proxy.backends import LOGINS, Backends
from proxy.dispatcher import Dispatcher
from proxy.protocols.failures import RETRYABLE, Failure, Kind
from proxy.protocols.login import Order
from proxy.protocols.secret import Secret
from proxy.resolver import Resolver
from proxy.settings import ProtocolName, Settings

#: Seconds between two looks at deadlines, while anything has one.
_SWEEP = 0.05
#: More than any password has; a file that is longer is no password.
_LONGEST = 4096
#: What is wrong with a backend. Any other answer to the login of `probe_user` is about that user alone.
_UNWELL = RETRYABLE | {Kind.BACKEND_CONFIG}

_logger = logging.getLogger("vestibule.probing")


class Prober:
    """Probes backends; any number at once, one at a time for each. It looks after the dispatcher's deadlines itself.

    A probe says nothing about what is the operator's to mend: when `probe_user` is refused, or the password cannot be
    read, the backend counts as well, and the log tells it once.
    """

    def __init__(self, dispatcher: Dispatcher, settings: Settings, context: ssl.SSLContext, resolver: Resolver) -> None:
        self._dispatcher = dispatcher
        self._backends = Backends(dispatcher, settings, context, resolver)
        self._health = settings.director.health
        self._login = settings.backend_login
        self._protocol = probe_protocol(settings)
        self._sweeping: asyncio.TimerHandle | None = None
        self._told: dict[str, str] = {}

    async def probe(self, backend: Backend) -> str:
        """Return "" for a backend that is well, else what is wrong, in words for an operator and without secrets.

        This takes `director.health.timeout` at most. Raises OSError when this process cannot open a socket: then
        nothing is known about the backend.
        """
        depth, order, until = self._health.probe, _NOBODY, self._dispatcher.now() + self._health.timeout
        complaint = ""
        if depth == "login":
            try:
                order = self._order()
            except OSError as error:
                depth, complaint = "tls", f"the password of the probe's user cannot be read: {error.strerror}"
        if self._sweeping is None:
            self._sweeping = self._dispatcher.loop.call_later(_SWEEP, self._sweep)
        try:
            await self._backends.probe(self._protocol, backend, order, depth, until=until)
        except Failure as failure:
            problem = failure.detail or failure.kind.value
            if failure.kind in _UNWELL:
                return problem
            complaint = f"the probe's user is refused: {problem}"
        self._complain(backend.name, complaint)
        return ""

    def _sweep(self) -> None:
        """Expire what is due, for as long as there is something to expire."""
        self._dispatcher.sweep()
        self._sweeping = self._dispatcher.loop.call_later(_SWEEP, self._sweep) if self._dispatcher.timed else None

    def _order(self) -> Order:
        """How `probe_user` is logged in; raises OSError."""
        user, login, path = self._health.probe_user, self._login, self._health.probe_password_file
        if login.mode == "master" and login.master_password is not None:
            if login.master_form == "separator":
                return Order(f"{user}{login.master_separator}{login.master_user}", login.master_password)
            return Order(user, login.master_password, master=login.master_user)
        return Order(user, _NO_PASSWORD if path is None else _read(path))

    def _complain(self, backend: str, complaint: str) -> None:
        """Tell the operator, once."""
        if complaint and self._told.get(backend) != complaint:
            _logger.warning("backend %s: %s", backend, complaint)
        self._told[backend] = complaint


def probe_protocol(settings: Settings) -> ProtocolName:
    """What probes speak: as configured, else the first of imap, pop3 and managesieve that has a listener."""
    return settings.director.health.protocol or _first_with_a_listener(settings)


def _first_with_a_listener(settings: Settings) -> ProtocolName:
    return next(name for name in LOGINS if name in settings.protocols)


def _read(path: Path) -> Secret:
    """The password in a file, without the newline that editors put at the end; raises OSError."""
    with path.open("rb") as file:
        return Secret(file.read(_LONGEST).removesuffix(b"\n").removesuffix(b"\r"))


_NO_PASSWORD = Secret(b"")
_NOBODY = Order("", _NO_PASSWORD)
