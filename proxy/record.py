"""What is known of a session, and what the log will say of it when it has ended."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from proxy.families import PHASES
from proxy.meters import Meters
from proxy.protocols.failures import Failure, Kind

_PACKED = struct.Struct(f"{len(PHASES)}f")
_PLACES = {phase: place for place, phase in enumerate(PHASES)}
_FIELDS = tuple(f"{phase}_seconds" for phase in PHASES)
_NOT_PASSED = -1.0

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
        self._phases: list[float] | bytes = [_NOT_PASSED] * len(PHASES)

    def passed(self, phase: str, began: float) -> float:
        """A phase that began at loop time `began` is over; the time now, at which the next one begins."""
        now, phases = self._now(), self._phases
        if type(phases) is list:
            phases[_PLACES[phase]] = now - began
        self._meters.phase[phase](now - began)
        return now

    def settle(self) -> None:
        """The login is over: keep its phases as small as they can be, for a session may be idle for weeks."""
        if type(self._phases) is list:
            self._phases = _PACKED.pack(*self._phases)

    def _seconds(self) -> Fields:
        phases = self._phases
        seconds: Iterable[float] = _PACKED.unpack(phases) if type(phases) is bytes else phases
        return {field: round(lasted, 6) for field, lasted in zip(_FIELDS, seconds, strict=True) if lasted >= 0}

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
