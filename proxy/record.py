"""What is known of a session, and what the log will say of it when it has ended."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from proxy.families import PHASES
from proxy.meters import Meters
from proxy.protocols.failures import Failure, Kind

_PACKED = struct.Struct(f"{len(PHASES)}f")

Fields = dict[str, str | int | float | bool | None]


class Record:
    """One session's facts, gathered as they come up; phases of the login are measured and counted here too.

    `peer` is the address on the socket, `client` the one that counts after a PROXY header or a trusted proxy's word.
    """

    __slots__ = (
        "_meters",
        "_now",
        "_phases",
        "backend",
        "cipher",
        "client",
        "client_id",
        "detail",
        "failed_logins",
        "failure",
        "peer",
        "protocol",
        "session",
        "shard",
        "started",
        "tls",
        "user",
    )

    def __init__(
        self, session: str, protocol: str, peer: tuple[str, int], meters: Meters, now: Callable[[], float]
    ) -> None:
        self.session = session
        self.protocol = protocol
        self.peer = self.client = peer
        self.started = now()
        self.user = self.tls = self.cipher = self.client_id = self.shard = self.backend = self.detail = ""
        self.failure: Kind | None = None
        self.failed_logins = 0
        self._meters = meters
        self._now = now
        self._phases: dict[str, float] | bytes = {}

    def passed(self, phase: str, began: float) -> float:
        """A phase that began at loop time `began` is over; the time now, at which the next one begins."""
        now = self._now()
        if isinstance(self._phases, dict):
            self._phases[phase] = now - began
        self._meters.phase[phase](now - began)
        return now

    def settle(self) -> None:
        """The login is over: keep its phases as small as they can be, for a session may be idle for weeks."""
        if isinstance(self._phases, dict):
            self._phases = _PACKED.pack(*(self._phases.get(phase, -1.0) for phase in PHASES))

    def _seconds(self) -> Fields:
        if isinstance(self._phases, bytes):
            known: Iterable[tuple[str, float]] = zip(PHASES, _PACKED.unpack(self._phases), strict=True)
        else:
            known = ((phase, self._phases.get(phase, -1.0)) for phase in PHASES)
        return {f"{phase}_seconds": round(seconds, 6) for phase, seconds in known if seconds >= 0}

    def failed(self, failure: Failure) -> None:
        """A login attempt has failed."""
        self.failure, self.detail = failure.kind, failure.detail
        self.user = failure.user or self.user
        self.failed_logins += 1
        self._meters.login(failure.kind.value)

    def succeeded(self) -> None:
        """A login attempt has succeeded; earlier failures stay in the count only."""
        self.failure, self.detail = None, ""
        self._meters.login("ok")

    def line(self, reached: str, closed_by: str, transferred: tuple[int, int] | None) -> Fields:
        """The fields of the log line; `transferred` is bytes to the backend and to the client. None is left out."""
        to_backend, to_client = transferred or (None, None)
        return {
            "event": "session",
            "session": self.session,
            "protocol": self.protocol,
            "user": self.user or None,
            "client": self.client[0],
            "port": self.client[1],
            "via": self.peer[0] if self.peer != self.client else None,
            "tls": self.tls or None,
            "cipher": self.cipher or None,
            "client_id": self.client_id or None,
            "shard": self.shard or None,
            "backend": self.backend or None,
            "phase": reached,
            "failure": self.failure.value if self.failure else None,
            "detail": self.detail or None,
            "failed_logins": self.failed_logins or None,
            **self._seconds(),
            "seconds": round(self._now() - self.started, 3),
            "bytes_to_backend": to_backend,
            "bytes_to_client": to_client,
            "closed_by": closed_by,
        }
