"""The seam between a dialogue and whatever carries its bytes.

WireFailure
├── EndOfStream     the peer has closed, or the connection is broken
├── LineTooLong     a line is longer than the reader allows
├── BareNewline     a line does not end in CR LF
├── Expired         the deadline of the present phase has passed
├── ShuttingDown    this process ends and takes no more logins
└── TlsFailure      TLS cannot start: bytes behind STARTTLS, no TLS at all, a refused certificate
"""

from __future__ import annotations

from typing import Protocol


class WireFailure(Exception):
    """The conversation cannot go on as it should; the subclasses say why."""


class EndOfStream(WireFailure):
    """The peer has closed, or the connection is broken."""


class LineTooLong(WireFailure):
    """A line is longer than the reader allows; what has come of it stays unread."""


class BareNewline(WireFailure):
    """A line ended in LF without CR; it has been consumed."""


class Expired(WireFailure):
    """The deadline of the present phase has passed."""


class ShuttingDown(WireFailure):
    """This process ends and takes no more logins."""


class TlsFailure(WireFailure):
    """TLS cannot start on this connection; its text is for the log."""


class Wire(Protocol):
    """One connection as a dialogue sees it: the descriptor's channel in production, `MemoryWire` in tests."""

    @property
    def secure(self) -> bool:
        """Whether what is said here is protected by TLS (or the listener was told to take it for protected)."""

    @property
    def certificate_user(self) -> str:
        """The user whom a verified TLS client certificate names, or an empty string."""

    async def line(self, limit: int) -> bytes:
        """The next line without its CR LF; raises `WireFailure` as above."""

    async def exactly(self, count: int) -> bytes:
        """Exactly `count` bytes, and not one more is taken from the connection while it is in clear."""

    async def send(self, data: bytes) -> None:
        """Returns when the connection has taken all of `data`."""

    async def start_tls(self) -> None:
        """Begin TLS; raises `TlsFailure` when bytes of the clear phase are still unread."""
