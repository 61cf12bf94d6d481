"""The numbers of one protocol in one worker, as the sessions count them: looked up once, then plain additions."""

from __future__ import annotations

from proxy.counters import PHASES, Slab
from proxy.relay import Meter


class Meters:
    """What the sessions of one protocol count.

    `connection`, `to_client` and `to_backend` take an amount; `phase` has, for every step of a login, what takes its
    seconds.
    """

    __slots__ = ("_connects", "_logins", "_own", "_untrusted", "connection", "phase", "to_backend", "to_client")

    def __init__(self, slab: Slab, protocol: str, backends: tuple[str, ...]) -> None:
        self.connection = slab.counter("connections_total", protocol).add
        self.to_client: Meter = slab.counter("relayed_bytes_total", protocol, "to_client").add
        self.to_backend: Meter = slab.counter("relayed_bytes_total", protocol, "to_backend").add
        self._logins = slab.counters("logins_total", protocol)
        self.phase = {phase: slab.histogram("login_phase_seconds", protocol, phase).observe for phase in PHASES}
        self._connects = {name: slab.counters("backend_connects_total", name) for name in backends}
        self._own = {name: slab.counters("backend_logins_total", name) for name in backends}
        self._untrusted = {name: slab.counter("backend_untrusted_total", name) for name in backends}

    def login(self, outcome: str) -> None:
        """A login attempt came to `outcome`: "ok" or the value of a failure kind."""
        self._logins[outcome].add()

    def backend_connect(self, backend: str, outcome: str) -> None:
        """A connection to a backend was greeted, or not."""
        self._connects[backend][outcome].add()

    def backend_login(self, backend: str, outcome: str) -> None:
        """A backend has answered a login, or not."""
        self._own[backend][outcome].add()

    def untrusted(self, backend: str) -> None:
        """A backend was not told, or does not believe, where the client is."""
        self._untrusted[backend].add()
